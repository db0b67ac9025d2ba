package main

import (
	"net"
	"strings"
	"testing"
)

// listen returns a SIP server of another domain: a user agent with an unconnected socket.
func listen(t *testing.T, addr string) *foreign {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(addr)})
	if err != nil {
		t.Fatal(err)
	}
	return &foreign{newUA(t, &answering{UDPConn: c}, "")}
}

// A foreign is a server of another domain.
type foreign struct{ *ua }

// addr returns the host and port of its users.
func (f *foreign) addr() string { return f.conn.LocalAddr().String() }

// An answering is a socket that sends to the source of the last packet.
type answering struct {
	*net.UDPConn
	last net.Addr
}

func (a *answering) Read(b []byte) (n int, err error) {
	n, a.last, err = a.ReadFrom(b)
	return n, err
}

func (a *answering) Write(b []byte) (int, error) { return a.WriteTo(b, a.last) }

// TestNoOpenRelay checks which senders may send to other domains with each auth.relay.
func TestNoOpenRelay(t *testing.T) {
	t.Parallel()
	const trusted = "auth.trusted = ['127.0.0.7 relay', '127.0.0.8']"
	for _, tc := range []struct {
		relay                              string
		stranger, user, peer, withoutRight int
	}{
		{"nobody", 403, 403, 403, 403},
		{"trusted", 403, 403, 200, 403},
		{"authenticated", 403, 200, 200, 403},
	} {
		t.Run(tc.relay, func(t *testing.T) {
			t.Parallel()
			s := serveUsers(t, trusted, "auth.relay = '"+tc.relay+"'")
			f := listen(t, "127.0.0.3")
			to := "sip:dan@" + f.addr() + ";x=y"
			a, x := s.phone("tcp", "alice"), s.phone("tcp", "x")
			x.aor = "sip:x@elsewhere.example"
			peer, plain := s.phoneFrom("tcp", "127.0.0.7", "alice"), s.phoneFrom("tcp", "127.0.0.8", "alice")
			check := func(name, answer string, want int) {
				t.Helper()
				if status(answer) != want {
					t.Errorf("%s: answered\n%s", name, answer)
				}
				if want != 200 {
					f.nothing()
					return
				}
				m := f.next()
				if !strings.HasPrefix(m, "MESSAGE "+to+" SIP/2.0\r\n") || header(m, "Max-Forwards") != "69" || body(m) != "hello" ||
					strings.Contains(m, "uthorization") || header(m, "Subject") != "s" {
					t.Errorf("%s: the other domain got\n%s", name, m)
				}
			}
			check("a stranger", x.ask(x.text(to, "hello", "Subject: s")), tc.stranger)
			check("a user", a.proven(asAlice, a.text(to, "hello", "Subject: s")), tc.user)
			check("a peer with the right", peer.ask(peer.text(to, "hello", "Subject: s")), tc.peer)
			check("a peer without", plain.ask(plain.text(to, "hello", "Subject: s")), tc.withoutRight)
			// A Route to another domain is restricted in the same way.
			check("by a Route", a.proven(asAlice, a.text(bob, "hello", "Route: <sip:"+f.addr()+";lr>")), 403)
			check("a user without credentials", a.ask(a.text(to, "hello")), 407)
			check("a user with a forged From", a.proven(asBob, a.text(to, "hello")), 403)
		})
	}
}

// TestRelayedAnswers checks that the sender gets the response of the other domain, and that
// credentials for the other domain are forwarded.
func TestRelayedAnswers(t *testing.T) {
	t.Parallel()
	s := serveUsers(t, "auth.relay = 'authenticated'")
	f := listen(t, "127.0.0.3")
	a, to := s.phone("tcp", "alice"), "sip:dan@"+f.addr()
	for _, code := range []int{202, 404, 486, 603} {
		f.autoReply.Store(int32(code))
		if got := a.proven(asAlice, a.text(to, "hello")); status(got) != code || strings.Count(got, "Via:") != 1 {
			t.Errorf("%d became\n%s", code, got)
		}
		f.next()
	}
	theirs := `Digest username="alice", realm="elsewhere.example", nonce="n", uri="` + to + `", response="r"`
	first := a.ask(a.text(to, "hello"))
	both := with(with(a.text(to, "hello"), "Proxy-Authorization", theirs), "Proxy-Authorization", asAlice.answer(t, challenges(first), "MESSAGE", to, 1))
	if got := a.ask(both); status(got) != 603 {
		t.Errorf("answered\n%s", got)
	}
	if m := f.next(); header(m, "Proxy-Authorization") != theirs || strings.Count(m, "uthorization") != 1 {
		t.Errorf("the other domain got\n%s", m)
	}
	if n := s.stored(); n != 0 {
		t.Errorf("%d messages for others are stored", n)
	}
	if got := a.proven(asAlice, a.text("sip:dan@nowhere.invalid", "hello")); status(got) != 502 {
		t.Errorf("a domain without a server: answered\n%s", got)
	}
}

// TestLoopsEnd checks that a loop through silod and a proxy of other domains ends after one
// round, whatever the proxy hides.
func TestLoopsEnd(t *testing.T) {
	t.Parallel()
	for _, hide := range []bool{false, true} {
		p := between(t)
		p.hide = hide
		s := serve(t, "sip.outbound_proxy = 'sip:"+p.addr()+"'", "auth.trusted = ['127.0.0.0/8 relay']", "auth.relay = 'trusted'")
		p.returnTo(s.addr("udp"))
		a := s.phoneFrom("tcp", "127.0.0.5", "alice")
		const to = "sip:dan@elsewhere.example"
		if got := a.message(to, "hello"); got != 482 {
			t.Errorf("a loop is answered %d", got)
		}
		if n := s.router.Stats.Messages.Value(); n != 2 {
			t.Errorf("it took %d rounds", n)
		}
		for hops, want := range map[string]int{"0": 483, "1": 483, "2": 483, "3": 482, "256": 400} {
			if got := a.ask(strings.Replace(a.text(to, "hello"), "Max-Forwards: 70", "Max-Forwards: "+hops, 1)); status(got) != want {
				t.Errorf("with %s hops: answered\n%s", hops, got)
			}
		}
	}
}
