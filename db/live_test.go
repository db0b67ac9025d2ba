package db

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"silod/db/dbtest"
	"silod/imc"
	"silod/sip"
)

// kamailioConfig stores every MESSAGE and delivers at every REGISTER, as the manual of
// msilo shows.
const kamailioConfig = `#!KAMAILIO
debug=1
log_stderror=yes
children=1
disable_tcp=yes
auto_aliases=no
listen=udp:127.0.0.1:%[1]d
loadmodule "%[4]s"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "msilo.so"
loadmodule "imc.so"
modparam("usrloc", "db_url", "%[3]s")
modparam("usrloc", "db_mode", 1)
modparam("msilo", "db_url", "%[3]s")
modparam("msilo", "outbound_proxy", "sip:127.0.0.1:%[2]d")
modparam("msilo", "check_time", 1)
modparam("imc", "db_url", "%[3]s")
modparam("imc", "outbound_proxy", "sip:127.0.0.1:%[2]d")
request_route {
	if (is_method("REGISTER")) {
		save("location");
		m_dump();
		exit;
	}
	if (is_method("MESSAGE") && $rU =~ "^chat-") {
		imc_manager();
		sl_send_reply("200", "OK");
		exit;
	}
	if (is_method("MESSAGE")) {
		if (m_store("$ru")) {
			sl_send_reply("202", "Accepted");
		} else {
			sl_send_reply("503", "Not stored");
		}
		exit;
	}
	sl_send_reply("501", "Not here");
}
`

// A phone is a socket with as much SIP as this test needs.
type phone struct {
	t       *testing.T
	conn    *net.UDPConn
	server  net.Addr
	replies chan string
	got     chan string // MESSAGE requests, answered with 200
}

func newPhone(t *testing.T, server int) *phone {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	p := &phone{t: t, conn: conn, server: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: server}, replies: make(chan string, 100), got: make(chan string, 100)}
	done := make(chan struct{})
	go p.read(done)
	t.Cleanup(func() { conn.Close(); <-done })
	return p
}

func (p *phone) port() int { return p.conn.LocalAddr().(*net.UDPAddr).Port }

func (p *phone) read(done chan struct{}) {
	defer close(done)
	buf := make([]byte, 65536)
	for {
		n, from, err := p.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		text := string(buf[:n])
		if strings.HasPrefix(text, "SIP/2.0") {
			p.replies <- text
			continue
		}
		reply := "SIP/2.0 200 OK\r\n"
		for line := range strings.SplitSeq(text, "\r\n") {
			name, _, _ := strings.Cut(line, ":")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "via", "v", "from", "f", "to", "t", "call-id", "i", "cseq":
				reply += line + "\r\n"
			}
		}
		_, _ = p.conn.WriteTo([]byte(reply+"Content-Length: 0\r\n\r\n"), from)
		p.got <- text
	}
}

// send sends a request, with retransmissions over UDP, until the response has the status.
func (p *phone) send(method, user, headers string, body []byte, status string) {
	p.t.Helper()
	p.ask(method, user, headers, body, status)
}

// ask is send that returns the response.
func (p *phone) ask(method, user, headers string, body []byte, status string) string {
	p.t.Helper()
	id := fmt.Sprint(time.Now().UnixNano())
	msg := fmt.Sprintf("%s sip:%s@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK%s;rport\r\n"+
		"From: \"Alice\" <sip:alice@example.org>;tag=t%[4]s\r\nTo: <sip:%[2]s@example.org>\r\nCall-ID: %[4]s@test\r\nCSeq: 1 %[1]s\r\nMax-Forwards: 70\r\n"+
		"%[5]sContent-Length: %d\r\n\r\n", method, user, p.port(), id, headers, len(body))
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		_, _ = p.conn.WriteTo(append([]byte(msg), body...), p.server)
		select {
		case r := <-p.replies:
			if !strings.Contains(r, id) || strings.HasPrefix(r, "SIP/2.0 100") {
				continue
			}
			if !strings.HasPrefix(r, "SIP/2.0 "+status) {
				p.t.Fatalf("%s: %s", method, r)
			}
			return r
		case <-time.After(500 * time.Millisecond):
		}
	}
	p.t.Fatalf("%s: no answer", method)
	return ""
}

// receive returns the next MESSAGE.
func (p *phone) receive() string {
	p.t.Helper()
	select {
	case m := <-p.got:
		return m
	case <-time.After(30 * time.Second):
		p.t.Fatal("no MESSAGE came")
		return ""
	}
}

// startKamailio runs Debian's Kamailio on a test database.
func startKamailio(t *testing.T, url string) (p *phone, stop func()) {
	t.Helper()
	scheme, rest, _ := strings.Cut(url, ":")
	module := map[string]string{"sqlite": "db_sqlite.so", "postgres": "db_postgres.so", "mysql": "db_mysql.so", "text": "db_text.so"}[scheme]
	if found, _ := filepath.Glob("/usr/lib/*/kamailio/modules/" + module); found == nil {
		dbtest.Missing(t, "kamailio's module "+module)
	}
	switch scheme {
	case "sqlite":
		url = "sqlite:///" + rest
	case "text":
		url = "text://" + rest
	case "postgres":
		url = strings.TrimSuffix(url, "?sslmode=disable")
	}
	return runKamailio(t, func(server, client int) string { return fmt.Sprintf(kamailioConfig, server, client, url, module) })
}

// runKamailio runs Debian's Kamailio with a configuration for the ports of the server and of the
// phone.
func runKamailio(t *testing.T, config func(server, client int) string) (p *phone, stop func()) {
	t.Helper()
	program, err := exec.LookPath("kamailio")
	if err != nil {
		dbtest.Missing(t, "kamailio")
	}
	l, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	port := l.LocalAddr().(*net.UDPAddr).Port
	l.Close()
	p = newPhone(t, port)
	dir := t.TempDir()
	cfg := filepath.Join(dir, "kamailio.cfg")
	if err := os.WriteFile(cfg, []byte(config(port, p.port())), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(program, "-f", cfg, "-DD", "-E", "-m", "64", "-Y", dir, "-w", dir)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return p, stop
}

// TestKamailioDelivers: Kamailio delivers messages of silod, and silod reads messages of
// Kamailio.
func TestKamailioDelivers(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			url := e.fresh(t)
			db := open(t, url, Options{Domains: sip.NewDomains("example.org")})
			st := db.Messages()
			ours := text("from silod: ü")
			ours.Stored, ours.Expires = time.Now(), time.Now().Add(time.Hour)
			ours.From = `"Alice" <sip:alice@example.org>;tag=1`
			ours.Headers = []sip.Header{{Name: "Content-Type", Value: "text/plain; charset=utf-8"}, {Name: "X-Foo", Value: `a\b`}}
			long := text("long")
			long.Stored, long.Expires = ours.Stored, ours.Expires
			long.Headers = []sip.Header{{Name: "Content-Type", Value: "text/html"}, {Name: "X-Long", Value: strings.Repeat("x", 1000)}, {Name: "X-Bar", Value: "c"}}
			add(t, st, ours, long)
			apply(t, db.Rooms(), imc.Change{Room: imc.Room{AoR: room1}, Put: []imc.Member{{User: alice, Role: imc.Owner}, {User: bob, Role: imc.Plain}}})
			p, stop := startKamailio(t, url)

			// Kamailio stores a message for carol; silod reads it.
			p.send("MESSAGE", "carol", "Content-Type: text/plain\r\nX-Foo: x\\y\r\nSubject: lost\r\n", []byte("from Kamailio"), "202")
			ms, err := st.Next(t.Context(), aor("carol@example.org"), nil, 0, 10, time.Now())
			if err != nil || len(ms) != 1 {
				t.Fatalf("Kamailio's message: %+v, %v", ms, err)
			}
			m := ms[0]
			if string(m.Body) != "from Kamailio" || m.From != "<sip:alice@example.org>" || m.To != "<sip:carol@example.org>" ||
				m.Header("X-Foo") != `x\y` || m.Header("Content-Type") != "text/plain" || m.Expires.Before(time.Now()) {
				t.Errorf("Kamailio's message: %+v", m)
			}

			// bob registers with Kamailio; it delivers the message of silod.
			p.send("REGISTER", "bob", fmt.Sprintf("Contact: <sip:bob@127.0.0.1:%d>;expires=600\r\n", p.port()), nil, "200")
			found := map[string]bool{}
			for range 2 {
				got := p.receive()
				switch {
				case strings.HasSuffix(got, "from silod: ü"):
					found["ours"] = strings.Contains(got, "X-Foo: a\\b\r\n") && strings.Contains(got, "text/plain")
				case strings.HasSuffix(got, "long"):
					found["long"] = strings.Contains(got, "X-Bar: c\r\n") && strings.Contains(got, "text/html")
				}
				if !strings.Contains(got, "sip:alice@example.org") {
					t.Errorf("not from alice:\n%s", got)
				}
			}
			if !found["ours"] || !found["long"] {
				t.Errorf("delivered: %v", found)
			}
			kamailioClears(t, db)

			// silod reads the binding of Kamailio.
			var contact string
			for _, c := range loadBindings(t, db.Bindings(), time.Now()) {
				if c.AoR.User == "bob" {
					contact = c.Binding.Contact
				}
			}
			if want := fmt.Sprintf("sip:bob@127.0.0.1:%d", p.port()); contact != want {
				t.Errorf("bob's contact is %q, want %q", contact, want)
			}

			// Kamailio serves the room of silod.
			p.send("MESSAGE", "chat-1", "Content-Type: text/plain\r\n", []byte("hello room"), "200")
			if got := p.receive(); !strings.Contains(got, "hello room") || !strings.HasPrefix(got, "MESSAGE sip:bob@example.org") {
				t.Errorf("the room said:\n%s", got)
			}

			// Kamailio deletes the rows of rooms after it has read them, and writes its
			// memory back when it ends.
			stop()
			want := loaded{imc.Room{AoR: room1}, map[sip.AoR]imc.Member{
				alice: {User: alice, Role: imc.Owner}, bob: {User: bob, Role: imc.Plain},
			}}
			if e.name == "sqlite" {
				return // Kamailio 5.6 writes nothing here, not even in its own database
			}
			if got := loadRooms(t, db.Rooms())[room1]; !reflect.DeepEqual(got, want) {
				t.Errorf("the room that went through Kamailio:\n got %+v\nwant %+v", got, want)
			}
		})
	}
}

// TestKamailioReadsText: silod and Kamailio use the directory in turn, because Kamailio
// keeps the tables of db_text in memory.
func TestKamailioReadsText(t *testing.T) {
	t.Parallel()
	url := textEngine.fresh(t)
	db := open(t, url, Options{})
	m := text("a:b\\c\nd\r\te ü")
	m.Stored, m.Expires = time.Now(), time.Now().Add(time.Hour)
	m.Headers = []sip.Header{{Name: "Content-Type", Value: "text/html"}, {Name: "X-Foo", Value: `a:b\c`}}
	add(t, db.Messages(), m)
	closeDB(t, db)
	p, stop := startKamailio(t, url)
	p.send("REGISTER", "bob", fmt.Sprintf("Contact: <sip:bob@127.0.0.1:%d>;expires=600\r\n", p.port()), nil, "200")
	if got := p.receive(); !strings.HasSuffix(got, string(m.Body)) || !strings.Contains(got, "X-Foo: a:b\\c\r\n") {
		t.Errorf("delivered:\n%s", got)
	}
	stop()
}

// kamailioClears waits until Kamailio has deleted the delivered messages, and checks the
// remaining rows.
func kamailioClears(t *testing.T, db *DB) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		n, err := count(t, db.Messages(), bob)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d messages are left", n)
		}
	}
}
