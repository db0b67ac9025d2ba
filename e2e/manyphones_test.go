package e2e_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // rooms of a daemon that does not run
)

// manyPhones are thousands of phones on one socket. They accept all messages.
type manyPhones struct {
	conn net.Conn

	mu       sync.Mutex
	answered map[string]string   // status lines by Call-ID
	received map[string][]string // by user: the received texts, each once
	callIDs  map[string]bool     // of received messages
}

func newManyPhones(t *testing.T, d *daemon) *manyPhones {
	t.Helper()
	conn, err := net.Dial("udp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.(*net.UDPConn).SetReadBuffer(8 << 20)
	t.Cleanup(func() { conn.Close() })
	c := &manyPhones{conn: conn, answered: make(map[string]string), received: make(map[string][]string), callIDs: make(map[string]bool)}
	go c.read()
	return c
}

func (c *manyPhones) read() {
	buf := make([]byte, 65536)
	for {
		n, err := c.conn.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			c.handle(buf[:n])
		}
	}
}

// handle records a response, or answers a request.
func (c *manyPhones) handle(m []byte) {
	head, body, _ := bytes.Cut(m, []byte("\r\n\r\n"))
	first, rest, _ := strings.Cut(string(head), "\r\n")
	var callID string
	answer := []byte("SIP/2.0 200 OK\r\n")
	for line := range strings.SplitSeq(rest, "\r\n") {
		switch name, value, _ := strings.Cut(line, ": "); name {
		case "Call-ID":
			callID = value
			fallthrough
		case "Via", "From", "To", "CSeq":
			answer = append(answer, line+"\r\n"...)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if status, ok := strings.CutPrefix(first, "SIP/2.0 "); ok {
		c.answered[callID] = status
		return
	}
	_, _ = c.conn.Write(append(answer, "Content-Length: 0\r\n\r\n"...))
	_, user, _ := strings.Cut(first, "sip:")
	user, _, _ = strings.Cut(user, "@")
	if !c.callIDs[callID] {
		c.callIDs[callID] = true
		c.received[user] = append(c.received[user], string(body))
	}
}

// send sends a request of a user. A second call with the same Call-ID is a retransmission.
func (c *manyPhones) send(method, user, to, callID, more, body string) {
	fmt.Fprintf(c.conn, "%s sip:%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%s;rport\r\nMax-Forwards: 70\r\n"+
		"From: <sip:%s@%s>;tag=1\r\nTo: <sip:%s>\r\nCall-ID: %s\r\nCSeq: 1 %s\r\n%sContent-Length: %d\r\n\r\n%s",
		method, to, c.conn.LocalAddr(), callID, user, domain, to, callID, method, more, len(body), body)
}

// each sends a request for each of n users, some at a time, and again until all are answered.
func (c *manyPhones) each(t *testing.T, n int, id func(int) string, send func(int)) {
	t.Helper()
	const window = 200
	for from := 0; from < n; from += window {
		eventually(t, func() error {
			open := 0
			for i := from; i < min(n, from+window); i++ {
				c.mu.Lock()
				status := c.answered[id(i)]
				c.mu.Unlock()
				if status == "" {
					open++
					send(i)
				} else if !strings.HasPrefix(status, "200") {
					t.Fatalf("user %d is answered %s", i, status)
				}
			}
			if open > 0 {
				return fmt.Errorf("%d requests have no answer", open)
			}
			return nil
		})
	}
}

// insertRooms inserts rooms into the database of a daemon that does not run, in the form in
// which Kamailio stores them: many small ones, and chat-0, of which all users are members.
func (d *daemon) insertRooms(t *testing.T, rooms, people int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+d.path("silod.db")+"?_pragma=synchronous(off)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const numbers = `WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n+1 FROM n WHERE n < %d) `
	for _, s := range []string{
		fmt.Sprintf(numbers, rooms) + `INSERT INTO imc_rooms (name, domain, flag) SELECT 'chat-' || n, '` + domain + `', 0 FROM n`,
		fmt.Sprintf(numbers, 5*rooms-1) + fmt.Sprintf(`INSERT INTO imc_members (username, domain, room, flag)
			SELECT 'user' || (n * 7919 %% %d), '%s', 'sip:chat-' || (1 + n / 5) || '@%s', n %% 5 = 0 FROM n`, people, domain, domain),
		fmt.Sprintf(numbers, people-1) + fmt.Sprintf(`INSERT INTO imc_members (username, domain, room, flag)
			SELECT 'user' || n, '%s', 'sip:chat-0@%s', n = 0 FROM n`, domain, domain),
	} {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTenThousand: ten thousand rooms, one of them with ten thousand members, all of them
// online. Each receives all messages of the room in order.
func TestTenThousand(t *testing.T) {
	rooms, people := 10_000, 10_000
	if raceEnabled {
		people = 1000
	}
	d := serve(t, "sip.source_rate = 0")
	empty := d.resident(t)
	d.stop()
	d.insertRooms(t, rooms, people)
	d.start(t)
	t.Logf("with %d rooms of 5 and one of %d: %d KB more, %d bytes for each room", rooms, people,
		(d.resident(t)-empty)>>10, (d.resident(t)-empty)/rooms)
	if n := d.counter(t, "imc:active_rooms"); n != rooms+1 {
		t.Errorf("%d rooms are active, want %d", n, rooms+1)
	}
	c := newManyPhones(t, d)
	user := func(i int) string { return "user" + strconv.Itoa(i) }
	begun := time.Now()
	c.each(t, people, func(i int) string { return "register-" + user(i) }, func(i int) {
		c.send("REGISTER", user(i), user(i)+"@"+domain, "register-"+user(i),
			fmt.Sprintf("Contact: <sip:%s@%s>\r\nExpires: 3600\r\n", user(i), c.conn.LocalAddr()), "")
	})
	t.Logf("%d have registered after %v", people, time.Since(begun))

	const said = 3
	for n := range said {
		begun := time.Now()
		id := "say-" + strconv.Itoa(n)
		c.each(t, 1, func(int) string { return id }, func(int) {
			c.send("MESSAGE", user(n), "chat-0@"+domain, id, "Content-Type: text/plain\r\n", "text "+strconv.Itoa(n))
		})
		answered := time.Since(begun)
		eventually(t, func() error {
			c.mu.Lock()
			defer c.mu.Unlock()
			if got := len(c.callIDs); got < (n+1)*(people-1) {
				return fmt.Errorf("%d of %d were received", got, (n+1)*(people-1))
			}
			return nil
		})
		t.Logf("answered after %v, delivered to all after %v, with %d MB", answered, time.Since(begun), d.resident(t)>>20)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range people {
		var want []string
		for n := range said {
			if n != i {
				want = append(want, fmt.Sprintf("[%s]: text %d", user(n), n))
			}
		}
		if got := c.received[user(i)]; strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("%s got %q, want %q", user(i), got, want)
		}
	}
}
