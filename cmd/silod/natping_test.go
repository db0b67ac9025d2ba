package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// natContact is a contact of a phone behind a NAT.
const natContact = "<sip:%s@192.168.77.1:5060>"

// Phones behind a NAT, and no others, get packets from the socket that they registered at,
// also after a restart.
func TestNATPing(t *testing.T) {
	t.Parallel()
	const often = "registrar.nat_ping = '300ms'"
	s := serveIn(t, t.TempDir(), fixedPort(t), often)
	natted, rewritten, direct, listens := s.phone("udp", "natted"), s.phone("udp", "rewritten"), s.phone("udp", "direct"), listen(t, "127.0.0.1")
	natted.mustRegisterAt(fmt.Sprintf(natContact, "natted"))
	own := func(u *ua, user string) string { return "<sip:" + user + "@" + u.conn.LocalAddr().String() + ">" }
	direct.mustRegisterAt(own(direct, "direct"))
	direct.mustRegisterAt("<sip:direct@" + listens.addr() + ">")
	edge := s.phone("udp", "edge")
	edge.mustRegisterAt(fmt.Sprintf(natContact, "edge"), "Path: <sip:"+edge.conn.LocalAddr().String()+";lr>")
	stream := s.phone("tcp", "stream")
	stream.mustRegisterAt(fmt.Sprintf(natContact, "stream"))
	// The NAT has rewritten the Contact of this phone, but not the Via.
	req := rewritten.request("REGISTER", "sip:127.0.0.1", rewritten.aor, "", "Contact: "+own(rewritten, "rewritten"), "Expires: 300")
	req = strings.Replace(req, "Via: SIP/2.0/UDP "+rewritten.conn.LocalAddr().String(), "Via: SIP/2.0/UDP 192.168.77.1:5060", 1)
	if got := rewritten.ask(req); status(got) != 200 {
		t.Fatalf("answered\n%s", got)
	}
	for round := range 2 {
		natted.keepAlives.Store(0)
		rewritten.keepAlives.Store(0)
		start := time.Now()
		s.eventually("packets", func() bool { return natted.keepAlives.Load() >= 3 && rewritten.keepAlives.Load() >= 3 })
		if n, most := natted.keepAlives.Load(), int32(time.Since(start)/(300*time.Millisecond))+4; n > most {
			t.Errorf("%d packets in %v", n, time.Since(start))
		}
		for name, u := range map[string]*ua{"direct": direct, "edge": edge, "stream": stream, "another port": listens.ua} {
			if n := u.keepAlives.Load(); n > 0 {
				t.Errorf("%s: %d packets", name, n)
			}
		}
		if s.proxy.Pings.Sent.Value() == 0 {
			t.Error("nothing is counted")
		}
		if round == 0 {
			s = s.restart(often)
		}
	}
}

// With OPTIONS, a phone that has stopped to answer loses its binding; one that answers, with
// any status, does not.
func TestNATPingOptions(t *testing.T) {
	t.Parallel()
	s := serve(t, "registrar.nat_ping = '500ms'", "registrar.nat_ping_method = 'options'", "registrar.nat_ping_failures = 2")
	answers, silent := s.phone("udp", "answers"), s.phone("udp", "silent")
	answers.autoReply.Store(481)
	silent.autoReply.Store(0)
	answers.mustRegisterAt(fmt.Sprintf(natContact, "answers"))
	silent.mustRegisterAt(fmt.Sprintf(natContact, "silent"))
	m := silent.next()
	for _, part := range []string{"OPTIONS sip:silent@192.168.77.1:5060 SIP/2.0\r\n", "From: <sip:127.0.0.1>;tag=", "To: <sip:silent@192.168.77.1:5060>\r\n", "Max-Forwards: 70\r\n"} {
		if !strings.Contains(m, part) {
			t.Errorf("no %q in\n%s", part, m)
		}
	}
	s.eventually("the end of the binding", func() bool { return s.proxy.Pings.Removed.Value() == 1 })
	if s.location.Online(s.aor("silent")) || !s.location.Online(s.aor("answers")) {
		t.Error("the wrong binding was removed")
	}
	if n := len(answers.requests); n < 5 {
		t.Errorf("%d OPTIONS to a phone that answers", n)
	}
	s.eventually("the end of the row", func() bool { return s.count("location") == 1 })
}
