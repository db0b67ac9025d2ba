package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// manyUsers is a client with many users behind one socket, which register and send without waiting for
// answers.
type manyUsers struct {
	t    *testing.T
	conn net.Conn

	mu      sync.Mutex
	sent    map[string]*userRequest // by Call-ID
	answers map[string]int          // final status by Call-ID
}

type userRequest struct {
	text string
	at   time.Time // last sent
}

func (s *served) manyUsers(t *testing.T) *manyUsers {
	c, err := net.Dial("udp", s.addr("udp").String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.(*net.UDPConn).SetReadBuffer(8 << 20)
	m := &manyUsers{t: t, conn: c, sent: map[string]*userRequest{}, answers: map[string]int{}}
	go m.read()
	return m
}

var callIDField = regexp.MustCompile(`(?m)^Call-ID: (\S+)\r$`)

func (c *manyUsers) read() {
	buf := make([]byte, 65536)
	for {
		n, err := c.conn.Read(buf)
		if err != nil {
			return
		}
		m := string(buf[:n])
		if id := callIDField.FindStringSubmatch(m); id != nil && status(m) >= 200 {
			c.mu.Lock()
			c.answers[id[1]] = status(m)
			c.mu.Unlock()
		}
	}
}

// send sends a request of which the Call-ID is a kind and a number.
func (c *manyUsers) send(method, kind string, n int) {
	id, user := fmt.Sprintf("%s-%d", kind, n), fmt.Sprintf("sip:%s%d@127.0.0.1", kind, n)
	uri, to, body, more := "sip:127.0.0.1", user, "", fmt.Sprintf("Contact: <%s:40000>\r\nExpires: 300\r\n", user)
	if method == "MESSAGE" {
		uri = fmt.Sprintf("sip:absent%d@127.0.0.1", n%50)
		to, body, more = uri, id, "Content-Type: text/plain\r\n"
	}
	text := fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%s;rport\r\nMax-Forwards: 70\r\n"+
		"From: <%s>;tag=1\r\nTo: <%s>\r\nCall-ID: %s\r\nCSeq: 1 %s\r\n%sContent-Length: %d\r\n\r\n%s",
		method, uri, c.conn.LocalAddr(), id, user, to, id, method, more, len(body), body)
	c.mu.Lock()
	c.sent[id] = &userRequest{text, time.Now()}
	c.mu.Unlock()
	_, _ = io.WriteString(c.conn, text)
}

// resend repeats the requests that have got no answer for 4 seconds (RFC 3261 section
// 17.1.2.2, T2).
func (c *manyUsers) resend() {
	c.mu.Lock()
	var due []string
	for id, r := range c.sent {
		if c.answers[id] == 0 && time.Since(r.at) > 4*time.Second {
			due = append(due, r.text)
			r.at = time.Now()
		}
	}
	c.mu.Unlock()
	for _, text := range due {
		_, _ = io.WriteString(c.conn, text)
	}
}

// count returns the number of answers of a kind by status, 0 for none.
func (c *manyUsers) count(kind string) map[int]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := map[int]int{}
	for id := range c.sent {
		if strings.HasPrefix(id, kind+"-") {
			n[c.answers[id]]++
		}
	}
	return n
}

// While a database hangs, 200 registrations and 500 messages a second are answered 503 in
// time, with a bounded number of goroutines and bytes. When it answers again, all are
// served, and only messages that were accepted are stored.
func TestFrozenDatabaseUnderLoad(t *testing.T) {
	t.Parallel()
	frozen := 14 * time.Second
	if text := os.Getenv("SILOD_TEST_FROZEN"); text != "" {
		var err error
		if frozen, err = time.ParseDuration(text); err != nil {
			t.Fatal("SILOD_TEST_FROZEN: ", err)
		}
	}
	r := newRemovals(t, 0, "log.level = 'error'")
	c := r.manyUsers(t)
	before := heap()
	most, goroutines := int64(0), 0
	r.server.Freeze()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	registers, messages := 0, 0
	for end := time.Now().Add(frozen); time.Now().Before(end); <-tick.C {
		for range 2 {
			c.send("REGISTER", "user", registers)
			registers++
		}
		for range 5 {
			c.send("MESSAGE", "text", messages)
			messages++
		}
		if messages%500 == 0 {
			c.resend()
			most, goroutines = max(most, heap()-before), max(goroutines, runtime.NumGoroutine())
		}
	}
	r.server.Thaw()
	r.eventually("an answer to the first message after the thaw", func() bool {
		messages++
		c.send("MESSAGE", "later", messages)
		time.Sleep(100 * time.Millisecond)
		return c.count("later")[202] > 0
	})
	time.Sleep(time.Second)
	for end := time.Now().Add(20 * time.Second); c.count("text")[0]+c.count("user")[0] > 0 && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
		c.resend()
	}
	t.Logf("heap +%d MB, %d goroutines; messages %v, registrations %v", most>>20, goroutines, c.count("text"), c.count("user"))
	for _, kind := range []string{"text", "user"} {
		if n := c.count(kind); n[0] > 0 {
			t.Errorf("%s: %d without an answer", kind, n[0])
		}
	}
	if most > 256<<20 || goroutines > 20_000 {
		t.Errorf("the heap grew by %d MB, %d goroutines", most>>20, goroutines)
	}
	stored := map[string]int{}
	rows, err := r.open(t).QueryContext(t.Context(), "SELECT convert_from(body, 'UTF8') FROM silo")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		stored[text]++
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	doubtful := 0
	for id, n := range stored {
		if n > 1 {
			t.Errorf("%s is stored %d times", id, n)
		}
		if c.answers[id] == 503 {
			doubtful++
		}
	}
	for id, status := range c.answers {
		if status == 202 && stored[id] != 1 {
			t.Errorf("%s was accepted and is stored %d times", id, stored[id])
		}
	}
	t.Logf("%d stored, %d of them were refused", len(stored), doubtful)
}
