package main

import (
	"database/sql"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"silod/sip"
)

// registerAt registers a contact and returns the answer.
func (u *ua) registerAt(contact string, more ...string) string {
	u.t.Helper()
	return u.ask(u.request("REGISTER", "sip:127.0.0.1", u.aor, "", append(more, "Contact: "+contact, "Expires: 300")...))
}

// mustRegisterAt is registerAt for a REGISTER that is answered 200.
func (u *ua) mustRegisterAt(contact string, more ...string) string {
	u.t.Helper()
	a := u.registerAt(contact, more...)
	if status(a) != 200 {
		u.t.Fatalf("Contact %s is answered\n%s", contact, a)
	}
	u.awaitLook()
	return a
}

// A tcpListener is a device that accepts one connection at a time.
type tcpListener struct {
	t  *testing.T
	ln net.Listener
}

func listenTCP(t *testing.T, addr string) *tcpListener {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return &tcpListener{t, ln}
}

func (l *tcpListener) addr() string { return l.ln.Addr().String() }

// accept returns the next connection as a user agent.
func (l *tcpListener) accept() *ua {
	l.t.Helper()
	_ = l.ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	c, err := l.ln.Accept()
	if err != nil {
		l.t.Fatal("no connection came: ", err)
	}
	return newUA(l.t, c, "")
}

// count returns the number of rows of a table.
func (s *served) count(table string) (n int) {
	s.t.Helper()
	pool, err := sql.Open("sqlite", "file:"+filepath.Join(s.dir, "silod.db"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer pool.Close()
	if err := pool.QueryRowContext(s.t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// A phone sends from one port and listens on the one in its Via and Contact: REGISTER is
// answered there (RFC 3261 section 18.2.2), and messages go there.
func TestPhoneListensElsewhere(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, sends, listens := s.phone("udp", "alice"), s.phone("udp", "bob"), listen(t, "127.0.0.1")
	req := sends.request("REGISTER", "sip:127.0.0.1", bob, "", "Contact: <sip:bob@"+listens.addr()+">", "Expires: 300")
	req = strings.Replace(strings.Replace(req, sends.conn.LocalAddr().String(), listens.addr(), 1), ";rport", "", 1)
	if _, err := sends.conn.Write([]byte(req)); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-listens.answers:
		if status(got) != 200 {
			t.Fatalf("REGISTER is answered\n%s", got)
		}
	case <-time.After(patience):
		t.Fatal("no answer comes to the port in the Via")
	}
	sends.awaitLook()
	if got := a.message(bob, "hello"); got != 200 {
		t.Errorf("answered %d", got)
	}
	if m := listens.next(); body(m) != "hello" {
		t.Errorf("got\n%s", m)
	}
	sends.nothing()
}

// Contacts of other hosts are never sent to, over any transport: the source of the REGISTER
// gets the message, where there still is one.
func TestStrangersContact(t *testing.T) {
	t.Parallel()
	s := serve(t)
	victim, trap := listen(t, "127.0.0.9"), listenTCP(t, "127.0.0.9:0")
	accepted := make(chan struct{}, 1)
	go func() {
		if _, err := trap.ln.Accept(); err == nil {
			accepted <- struct{}{}
		}
	}()
	a := s.phone("udp", "alice")
	names := 0
	for _, network := range []string{"udp", "tcp"} {
		for _, contact := range []string{
			"sip:bob@" + victim.addr(), "sip:bob@" + victim.addr() + ";x=1", "sip:bob@" + trap.addr() + ";transport=tcp",
			"sip:bob@192.168.77.1:5060", "sip:bob@127.0.0.1;maddr=127.0.0.9", "sip:bob@[::ffff:127.0.0.9]:5060",
		} {
			names++
			user := fmt.Sprintf("user%d", names)
			to := "sip:" + user + "@127.0.0.1"
			b := s.phone(network, user)
			if strings.Contains(contact, "maddr") {
				contact = strings.Replace(contact, "127.0.0.1", b.conn.LocalAddr().String(), 1)
			}
			b.mustRegisterAt("<" + contact + ">")
			if got := a.message(to, "hello"); got != 200 {
				t.Errorf("%s over %s: answered %d", contact, network, got)
			}
			if m := b.next(); body(m) != "hello" {
				t.Errorf("%s over %s: got\n%s", contact, network, m)
			}
			if network == "udp" {
				continue
			}
			_ = b.conn.Close()
			s.eventually("the end of the binding", func() bool { return !s.location.Online(s.aor(user)) })
			if got := a.message(to, "later"); got != 202 {
				t.Errorf("%s without its connection: answered %d", contact, got)
			}
		}
	}
	victim.nothing()
	select {
	case <-accepted:
		t.Error("a connection to the victim was opened")
	default:
	}
}

// A Path is followed (RFC 3327) if it names the host that sends the REGISTER, or if a trusted
// proxy has added it.
func TestPathOverUDP(t *testing.T) {
	t.Parallel()
	s := serve(t, "auth.trusted = ['127.0.0.7']")
	a, edge, other := s.phone("udp", "alice"), listen(t, "127.0.0.1"), listen(t, "127.0.0.3")
	const natted = "<sip:bob@192.168.77.1:5060>"
	for _, tc := range []struct {
		from string
		path *foreign
		want int
	}{{"127.0.0.1", edge, 200}, {"127.0.0.1", other, 403}, {"127.0.0.7", other, 200}} {
		b := s.phoneFrom("udp", tc.from, "bob")
		path := "<sip:" + tc.path.addr() + ";lr>"
		got := b.registerAt(natted, "Via: SIP/2.0/UDP 192.168.77.1", "Path: "+path, "Supported: path")
		if status(got) != tc.want {
			t.Errorf("Path %s from %s is answered\n%s", path, tc.from, got)
		}
		if tc.want != 200 {
			continue
		}
		b.awaitLook()
		if got := a.message(bob, "hello"); got != 200 {
			t.Errorf("answered %d", got)
		}
		m := tc.path.next()
		if header(m, "Route") != path || !strings.HasPrefix(m, "MESSAGE sip:bob@192.168.77.1:5060 ") {
			t.Errorf("the proxy got\n%s", m)
		}
		b.nothing()
	}
}

// A Path over a connection keeps the binding when the proxy closes it.
func TestPathOverTCP(t *testing.T) {
	t.Parallel()
	s := serve(t)
	edge := listenTCP(t, "127.0.0.1:0")
	path := "<sip:" + edge.addr() + ";transport=tcp;lr>"
	b := s.phone("tcp", "bob")
	b.mustRegisterAt("<sip:bob@192.168.77.1:5060>", "Path: "+path)
	_ = b.conn.Close()
	s.eventually("the end of the connection", func() bool {
		bs := s.location.Bindings(s.aor("bob"))
		return len(bs) == 1 && bs[0].Flow == sip.Flow{} && bs[0].Path[0] == path
	})
}

// A phone registers over UDP that it wants TCP.
func TestTransportOfContact(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b, device := s.phone("udp", "alice"), s.phone("udp", "bob"), listenTCP(t, "127.0.0.1:0")
	b.mustRegisterAt("<sip:bob@" + device.addr() + ";transport=tcp>")
	answered := make(chan int, 1)
	go func() { answered <- a.message(bob, "hello") }()
	if m := device.accept().next(); body(m) != "hello" {
		t.Errorf("got\n%s", m)
	}
	if got := <-answered; got != 200 {
		t.Errorf("answered %d", got)
	}
	b.nothing()
}

// A binding lives as long as the 200 has said, without its connection and over a restart, if
// its Contact can be reached anew. A contact of an administrator needs no flow.
func TestReachedAnew(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t))
	device, by := listenTCP(t, "127.0.0.1:0"), listen(t, "127.0.0.1")
	b := s.phone("tcp", "bob")
	b.mustRegisterAt("<sip:bob@" + device.addr() + ";transport=tcp>")
	large, overUDP := s.phone("tcp", "carol"), listen(t, "127.0.0.1")
	large.mustRegisterAt("<sip:carol@" + overUDP.addr() + ">")
	_ = large.conn.Close()
	s.call("ul_add", "location", "gw@127.0.0.1", "sip:gw@"+by.addr(), "0", "1", "0", "0", "0", "0")
	_ = b.conn.Close()
	s.eventually("the end of the connection", func() bool {
		bs := s.location.Bindings(s.aor("bob"))
		cs := s.location.Bindings(s.aor("carol"))
		return len(bs) == 1 && bs[0].Flow.IsZero() && len(cs) == 1 && cs[0].Flow.IsZero()
	})
	for round := range 2 {
		text := fmt.Sprint("hello ", round)
		a := s.phone("udp", "alice")
		answered := make(chan int, 1)
		go func() { answered <- a.message(bob, text) }()
		if m := device.accept().next(); body(m) != text {
			t.Errorf("got\n%s", m)
		}
		if got := <-answered; got != 200 {
			t.Errorf("answered %d", got)
		}
		if got := a.message("sip:gw@127.0.0.1", text); got != 200 {
			t.Errorf("of an administrator: answered %d", got)
		}
		if m := by.next(); body(m) != text {
			t.Errorf("got\n%s", m)
		}
		if got := a.message("sip:carol@127.0.0.1", text); got != 200 {
			t.Errorf("over UDP: answered %d", got)
		}
		if m := overUDP.next(); body(m) != text {
			t.Errorf("got\n%s", m)
		}
		if round == 0 {
			s = s.restart()
		}
	}
}

// A Request-URI has no header fields and no parameter method, although a contact may.
func TestContactAsRequestURI(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	addr := b.conn.LocalAddr().String()
	b.mustRegisterAt("<sip:bob@" + addr + ";method=INVITE;ob?Subject=x>")
	if got := a.message(bob, "hello"); got != 200 {
		t.Errorf("answered %d", got)
	}
	if m := b.next(); !strings.HasPrefix(m, "MESSAGE sip:bob@"+addr+";ob SIP/2.0\r\n") {
		t.Errorf("got\n%s", m)
	}
}

// A contact at which no device listens any more costs little.
func TestDeadContact(t *testing.T) {
	t.Parallel()
	s := serve(t)
	device := listenTCP(t, "127.0.0.1:0")
	b := s.phone("tcp", "bob")
	b.mustRegisterAt("<sip:bob@" + device.addr() + ";transport=tcp>")
	_ = device.ln.Close()
	_ = b.conn.Close()
	s.eventually("the end of the connection", func() bool { return s.location.Bindings(s.aor("bob"))[0].Flow.IsZero() })
	a, start := s.phone("udp", "alice"), time.Now()
	if got := a.message(bob, "hello"); got != 202 {
		t.Errorf("answered %d", got)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("answered after %v", took)
	}
	b = s.phone("tcp", "bob")
	b.register(300)
	if m := b.next(); body(m) != "hello" {
		t.Errorf("got\n%s", m)
	}
}

// The rows of dead connections and of expired contacts do not pile up over restarts. Those
// of other programs stay until a later pass deletes them, see registrar.Shared.
func TestNoDeadRows(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t), "registrar.min_expires = 0")
	s.sql("INSERT INTO location (ruid, username, domain, contact, expires, callid, cseq, user_agent, last_modified) VALUES ('uloc-1', 'old', '127.0.0.1', 'sip:old@192.0.2.1', 1000000000, 'x', 1, 'Kamailio', 1000000000)")
	for range 3 {
		for i := range 5 {
			u := s.phone("tcp", fmt.Sprint("tcp", i))
			u.mustRegisterAt("<sip:bob@192.168.77.1;x=1>;+x=y")
		}
		// As after kill -9: rows with connections of a process that has not removed them.
		const columns = "username, domain, contact, expires, callid, cseq, user_agent, last_modified"
		s.sql("INSERT INTO location (ruid, " + columns + ") SELECT 'silod-' || ruid, " + columns + " FROM location WHERE username LIKE 'tcp%'")
		s.sql("INSERT INTO silod_binding SELECT 'silod-' || ruid, extra FROM silod_binding")
		s.sql("INSERT INTO location (ruid, " + columns + ") VALUES ('silod-expired', 'u', '127.0.0.1', 'sip:u@192.0.2.1', 1000000000, 'x', 1, 'x', 1000000000)")
		if rows, extra := s.count("location"), s.count("silod_binding"); rows != 12 || extra != 10 {
			t.Fatalf("%d rows of location and %d of silod_binding", rows, extra)
		}
		s = s.restart()
		s.eventually("only the row of Kamailio", func() bool { return s.count("location") == 1 && s.count("silod_binding") == 0 })
	}
}

// Contacts that Kamailio has registered are used after silod has taken its place, also with
// use_domain = 0, when Kamailio stores no domain.
func TestContactsOfKamailio(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t))
	plain, natted, dot := listen(t, "127.0.0.1"), listen(t, "127.0.0.1"), listen(t, "127.0.0.1")
	const columns = "INSERT INTO location (ruid, username, domain, contact, received, path, socket, expires, callid, cseq, user_agent, last_modified) VALUES "
	row := func(ruid, contact, received, path string) string {
		return fmt.Sprintf("('uloc-%[1]s', '%[1]s', NULL, '%s', %s, %s, 'udp:127.0.0.1:9', 4000000000, 'x', 1, 'x', 1000000000)", ruid, contact, received, path)
	}
	for _, r := range []string{
		row("plain", "sip:plain@"+plain.addr(), "NULL", "NULL"),
		row("natted", "sip:natted@127.0.0.9:5060", "'sip:"+natted.addr()+"'", "NULL"),
		row("dot", "sip:dot@"+dot.addr(), "NULL", "'.'"), // of kamctl
		row("gone", "sip:gone@192.168.77.1:5060", "'sip:127.0.0.1:9;transport=tcp'", "NULL"),
	} {
		s.sql(columns + r)
	}
	s = s.restart()
	a := s.phone("udp", "alice")
	for user, device := range map[string]*foreign{"plain": plain, "natted": natted, "dot": dot} {
		if got := a.message("sip:"+user+"@127.0.0.1", "hello"); got != 200 {
			t.Errorf("%s: answered %d", user, got)
		}
		m := device.next()
		if body(m) != "hello" || header(m, "Route") != "" || !strings.Contains(header(m, "Via"), s.addr("udp").String()) {
			t.Errorf("%s got\n%s", user, m)
		}
	}
	if s.location.Online(s.aor("gone")) || s.count("location") != 4 {
		t.Errorf("a closed connection is used, or its row was deleted")
	}
}

// RFC 5626: flows are confirmed if the first hop supports them, and a time for keep-alives is
// announced over a connection only.
func TestOutboundConfirmed(t *testing.T) {
	t.Parallel()
	s := serve(t, "auth.trusted = ['127.0.0.7']")
	const flow = `;reg-id=1;+sip.instance="<urn:uuid:1>"`
	first := "Via: SIP/2.0/UDP 192.168.77.1"
	for _, tc := range []struct {
		name, network, contact string
		more                   []string
		outbound, timer        bool
	}{
		{"TCP", "tcp", flow, nil, true, true},
		{"UDP", "udp", flow, nil, true, false},
		{"no reg-id", "tcp", `;+sip.instance="<urn:uuid:1>"`, nil, false, false},
		{"edge proxy", "tcp", flow, []string{first, "Path: <sip:x@127.0.0.7;transport=tcp;lr;ob>"}, true, false},
		{"two proxies", "tcp", flow, []string{first, "Path: <sip:127.0.0.7;transport=tcp;lr>, <sip:x@10.0.0.1;lr;ob>"}, true, false},
		{"proxy without flows", "tcp", flow, []string{first, "Path: <sip:127.0.0.7;transport=tcp;lr>"}, false, false},
		{"no Path", "tcp", flow, []string{first}, false, false},
	} {
		b := s.phoneFrom(tc.network, "127.0.0.7", "bob")
		req := b.request("REGISTER", "sip:127.0.0.1", bob, "", append(tc.more, "Supported: outbound, path",
			"Contact: <sip:bob@"+b.conn.LocalAddr().String()+";transport="+tc.network+">"+tc.contact)...)
		got := b.ask(req)
		if status(got) != 200 {
			t.Errorf("%s: answered\n%s", tc.name, got)
		}
		if outbound, timer := header(got, "Require") == "outbound", header(got, "Flow-Timer") != ""; outbound != tc.outbound || timer != tc.timer {
			t.Errorf("%s: Require: outbound is %t, Flow-Timer %t", tc.name, outbound, timer)
		}
	}
}
