package main

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// oneRow waits a second and checks that an undeliverable message is stored once and that
// at most rounds MESSAGEs were handled.
func (s *served) oneRow(rounds int64) {
	s.t.Helper()
	s.eventually("storing", func() bool { return s.stored() > 0 })
	time.Sleep(time.Second)
	if n := s.stored(); n != 1 {
		s.t.Errorf("%d rows are stored for one message", n)
	}
	if n := s.router.Stats.Messages.Value(); n > rounds {
		s.t.Errorf("%d MESSAGEs were handled for one, want at most %d", n, rounds)
	}
	if n := s.silo.Stats.Dumped.Value(); n != 0 {
		s.t.Errorf("%d messages count as delivered", n)
	}
}

// TestContactNamesUs checks that contacts with the address of silod cost one round each,
// and that the message is stored once (RFC 3261 section 16.3, item 4).
func TestContactNamesUs(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	const contacts = 20
	var own []string
	for i := range contacts {
		own = append(own, fmt.Sprintf("Contact: <sip:bob@%s;x=%d>;expires=300", s.addr("udp"), i))
	}
	req := b.request("REGISTER", "sip:127.0.0.1", bob, "", own...)
	if got := b.ask(req); status(got) != 200 {
		t.Fatalf("REGISTER is answered %s", got)
	}
	if got := a.message(bob, "hello"); got != 202 {
		t.Errorf("answered %d", got)
	}
	// The MESSAGE of the sender, those of the relay, and those of the first attempts.
	s.oneRow(1 + 4*contacts)
}

// TestProxyIsUs sets silo.outbound_proxy to silod itself.
func TestProxyIsUs(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t))
	s = s.restart("silo.outbound_proxy = 'sip:" + s.addr("udp").String() + "'")
	if got := s.phone("udp", "alice").message(bob, "hello"); got != 202 {
		t.Errorf("answered %d", got)
	}
	s.oneRow(4)
}

// TestProxySendsBack has a proxy that returns the message to silod, as Kamailio does with
// silod as its failure route.
func TestProxySendsBack(t *testing.T) {
	t.Parallel()
	proxy, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	s := serve(t, "silo.outbound_proxy = 'sip:"+proxy.LocalAddr().String()+"'")
	go func() {
		b := make([]byte, 65536)
		for {
			n, _, err := proxy.ReadFromUDP(b)
			if err != nil {
				return
			}
			m := string(b[:n])
			if strings.HasPrefix(m, "MESSAGE ") {
				via := fmt.Sprintf("\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKback%x\r\n", proxy.LocalAddr(), time.Now().UnixNano())
				back := strings.Replace(strings.Replace(m, "\r\n", via, 1), "Max-Forwards: 70", "Max-Forwards: 69", 1)
				_, _ = proxy.WriteToUDPAddrPort([]byte(back), s.addr("udp"))
				continue
			}
			// Forward a response without the proxy's Via.
			first := strings.Index(m, "Via:")
			end := first + strings.Index(m[first:], "\r\n") + 2
			_, _ = proxy.WriteToUDPAddrPort([]byte(m[:first]+m[end:]), s.addr("udp"))
		}
	}()
	if got := s.phone("udp", "alice").message(bob, "hello"); got != 202 {
		t.Errorf("answered %d", got)
	}
	s.oneRow(4)
}
