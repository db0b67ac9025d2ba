package transaction

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"silod/sip"
	"silod/sip/transport"
)

// runWildcard runs layers that listen on all addresses over each transport, and returns
// their port over IPv4 and IPv6.
func runWildcard(t *testing.T, h Handler) (s *layers, port4, port6 uint16) {
	t.Helper()
	any4, any6 := netip.MustParseAddrPort("0.0.0.0:0"), netip.MustParseAddrPort("[::]:0")
	s = newLayers(config{Listen: []transport.Endpoint{
		{Transport: sip.UDP, Addr: any4},
		{Transport: sip.UDP, Addr: any6},
		{Transport: sip.TCP, Addr: any4},
		{Transport: sip.TCP, Addr: any6},
	}}, h)
	start(t, s)
	return s, s.sockets.Endpoints()[0].Addr.Port(), s.sockets.Endpoints()[1].Addr.Port()
}

// TestWildcardSource checks that a server that listens on all addresses answers from the
// address that was asked, and sends later requests over the flow from there, with that
// address in Via (RFC 3261 section 18.2.2, RFC 3581 section 4). A connected socket receives
// from no other.
func TestWildcardSource(t *testing.T) {
	for _, later := range []bool{false, true} { // an answer in the batch, and one from Work
		flows := make(chan sip.Flow, 1)
		answer := func(tx *ServerTx) {
			flows <- tx.Flow
			tx.Respond(200, "")
		}
		h := serve(answer)
		if later {
			h = serveLater(answer)
		}
		s, port4, port6 := runWildcard(t, h)
		for _, ip := range []string{"127.0.0.1", "127.0.0.2", "127.1.2.3", "::1"} {
			to := netip.AddrPortFrom(netip.MustParseAddr(ip), port4)
			if to.Addr().Is6() {
				to = netip.AddrPortFrom(to.Addr(), port6)
			}
			c := dial(t, "udp", to)
			send(t, c, message(c, "z9hG4bKwild"+strings.ReplaceAll(ip, ":", "-")))
			if r := receive(t, c, timeout); status(r) != "200" {
				t.Errorf("%s, later %t: received %q", to, later, r)
			}
			flow := <-flows
			if flow.Local != to {
				t.Errorf("%s: the flow is %s", to, flow)
			}
			// Also a flow that was stored before a restart.
			if f, err := sip.ParseFlow(flow.String()); err != nil || f != flow {
				t.Errorf("%s is read as %s, %v", flow, f, err)
			}
			go func() { _, _ = s.Do(t.Context(), newRequest(), flow) }()
			r := receive(t, c, timeout)
			if !strings.HasPrefix(r, "OPTIONS ") || !strings.Contains(r, "Via: SIP/2.0/UDP "+to.String()+";") {
				t.Errorf("%s: received %q", to, r)
			}
			checkSTUN(t, c)
		}
		s.stop()
	}
}

// newRequest returns a request without Via.
func newRequest() *sip.Message {
	m, err := sip.Parse([]byte("OPTIONS sip:bob@127.0.0.1 SIP/2.0\r\nFrom: <sip:a@a>;tag=1\r\nTo: <sip:b@b>\r\n"+
		"Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"), false)
	if err != nil {
		panic(err)
	}
	return m
}

// checkSTUN checks that a STUN Binding request is answered to a connected socket.
func checkSTUN(t *testing.T, c net.Conn) {
	t.Helper()
	b := binary.BigEndian.AppendUint16(nil, 1)
	b = binary.BigEndian.AppendUint16(b, 32)
	b = binary.BigEndian.AppendUint32(b, 0x2112A442)
	b = append(b, "transaction0"...)
	b = append(b, 0x80, 0x22, 0, 28) // SOFTWARE, which makes it longer than the answer
	b = append(b, "a phone with a very long name"[:28]...)
	send(t, c, string(b))
	for { // behind the retransmissions of the request
		r := receive(t, c, timeout)
		if strings.HasPrefix(r, "OPTIONS ") {
			continue
		}
		if !strings.HasPrefix(r, "\x01\x01") || r[8:20] != "transaction0" {
			t.Errorf("%s: the answer to STUN is %q", c.RemoteAddr(), r)
		}
		return
	}
}

// TestWildcardStreams checks that the flow of a connection has the address to which the peer
// has connected, and that requests over it name it in Via.
func TestWildcardStreams(t *testing.T) {
	flows := make(chan sip.Flow, 1)
	s, _, _ := runWildcard(t, serve(func(tx *ServerTx) {
		flows <- tx.Flow
		tx.Respond(200, "")
	}))
	for i, ip := range []string{"127.0.0.1", "127.0.0.2", "::1"} {
		listener := s.sockets.Endpoints()[2+i/2].Addr
		to := netip.AddrPortFrom(netip.MustParseAddr(ip), listener.Port())
		c := dial(t, "tcp", to)
		send(t, c, message(c, "z9hG4bKwild"))
		if r := receive(t, c, timeout); status(r) != "200" {
			t.Errorf("%s: received %q", to, r)
		}
		flow := <-flows
		via := netip.AddrPortFrom(to.Addr(), s.sockets.Endpoints()[2].Addr.Port())
		if got := s.sockets.Via(flow); flow.Local != to || got != "SIP/2.0/TCP "+via.String() {
			t.Errorf("%s: the flow is %s, its Via %s", to, flow, got)
		}
	}
}

// TestVanishedAddress checks that requests and answers over a flow whose local address is no
// longer one of this machine are sent from another, which Via names.
func TestVanishedAddress(t *testing.T) {
	s, port4, port6 := runWildcard(t, echo)
	for _, tc := range []struct{ local, peer string }{
		{"192.0.2.77", "127.0.0.1:0"},      // of an interface that is gone
		{"127.255.255.255", "127.0.0.1:0"}, // stored by another program
		{"2001:db8::77", "[::1]:0"},
		{"fe80::77%gone0", "[::1]:0"},
		{"::1", "127.0.0.1:0"}, // of another IP version
	} {
		pc, err := net.ListenPacket("udp", tc.peer)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = pc.Close() })
		peer := netip.MustParseAddrPort(pc.LocalAddr().String())
		port := port4
		if peer.Addr().Is6() {
			port = port6
		}
		flow := sip.Flow{Transport: sip.UDP, Local: netip.AddrPortFrom(netip.MustParseAddr(tc.local), port), Remote: peer}
		for range 2 {
			if err := s.sockets.Send(flow, []byte("a datagram")); err != nil {
				t.Errorf("%s: %v", flow, err)
			}
			buf := make([]byte, 100)
			_ = pc.SetReadDeadline(time.Now().Add(timeout))
			n, from, err := pc.ReadFrom(buf)
			if err != nil || string(buf[:n]) != "a datagram" {
				t.Fatalf("%s: %q, %v", flow, buf[:n], err)
			}
			want := netip.AddrPortFrom(peer.Addr(), port).String()
			if via := s.sockets.Via(flow); from.String() != want || tc.local != "127.255.255.255" && via != "SIP/2.0/UDP "+want {
				t.Errorf("%s: sent from %s with Via %s, want %s", flow, from, via, want)
			}
		}
	}
}

// TestBroadcastSource checks that the answer to a broadcast is sent from the address of the
// interface.
func TestBroadcastSource(t *testing.T) {
	flows := make(chan sip.Flow, 1)
	_, port, _ := runWildcard(t, serve(func(tx *ServerTx) {
		flows <- tx.Flow
		tx.Respond(200, "")
	}))
	lc := net.ListenConfig{Control: allowBroadcast}
	pc, err := lc.ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	m := "OPTIONS sip:all@example.org SIP/2.0\r\nVia: SIP/2.0/UDP " + pc.LocalAddr().String() + ";branch=z9hG4bKall;rport\r\n" +
		"From: <sip:a@a>;tag=1\r\nTo: <sip:b@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
	to := &net.UDPAddr{IP: net.IPv4(127, 255, 255, 255), Port: int(port)}
	if _, err := pc.WriteTo([]byte(m), to); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2000)
	_ = pc.SetReadDeadline(time.Now().Add(timeout))
	_, from, err := pc.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	want := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	if flow := <-flows; from.String() != want.String() || flow.Local != want {
		t.Errorf("answered from %s over %s, want %s", from, flow, want)
	}
}

func allowBroadcast(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_BROADCAST, 1) }); e != nil {
		return e
	}
	return err
}
