package router

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"silod/auth"
	"silod/delivery"
	"silod/imc"
	"silod/proxy"
	"silod/registrar"
	"silod/silo"
	"silod/sip"
	"silod/sip/transaction"
	"silod/sip/transport"
)

// serving has a router on a UDP socket that trusts all peers on this machine.
type serving struct {
	addr     netip.AddrPort
	location *registrar.Location
	proxy    *proxy.Proxy
}

// serve runs a router until the test has ended.
func serve(tb testing.TB, set silo.Settings) *serving {
	tb.Helper()
	sockets := transport.New(transport.Options{
		Listen: []transport.Endpoint{{Transport: sip.UDP, Addr: netip.MustParseAddrPort("127.0.0.1:0")}},
	})
	st := transaction.New(transaction.Options{Transport: sockets})
	if err := sockets.Listen(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	rooms, err := imc.NewSettings(imc.DefaultConfig())
	if err != nil {
		tb.Fatal(err)
	}
	domains := sip.NewDomains("example.org")
	engine := delivery.New(delivery.Options{})
	queue := engine.Queue()
	s := &serving{addr: sockets.Endpoints()[0].Addr, location: registrar.New(registrar.Options{}, registrar.Settings{})}
	s.proxy = proxy.New(proxy.Options{Transport: sockets, Transactions: st, Location: s.location, Domains: domains}, proxy.Settings{})
	queue.Serve(emptySource{}, s.proxy.Sender(proxy.SenderSettings{}))
	st.SetHandler(New(Options{
		Transactions: st, Location: s.location, Proxy: s.proxy, Queue: queue, Engine: engine, Domains: domains,
		Silo:  silo.New(silo.Options{Domains: domains}, set),
		Rooms: imc.New(imc.Options{Domains: domains}, rooms),
		Guard: NewGuard(GuardOptions{Bans: auth.NewBans(auth.BanOptions{}), Agents: auth.NewAgents()}, Policy{Trust: auth.NewTrust(auth.Peer{
			Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Rights: auth.Rights{AssertIdentity: true},
		})}),
		Log: slog.New(slog.DiscardHandler), MaxBody: 1000,
	}, Settings{AcceptTimeout: time.Second}))
	ctx, cancel := context.WithCancel(tb.Context())
	ended := make(chan error)
	go func() { ended <- st.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
	})
	return s
}

// A client sends requests, each with other identifiers.
type client struct {
	testing.TB
	conn    *net.UDPConn
	n       int
	out, in []byte
}

func (s *serving) client(tb testing.TB) *client {
	tb.Helper()
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(s.addr))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		tb.Fatal(err)
	}
	return &client{TB: tb, conn: conn, in: make([]byte, 4096)}
}

// accepted sends a request of alice to bob, with these header fields and body, which must be
// answered with 200.
func (c *client) accepted(method, uri, rest string) {
	c.Helper()
	c.n++
	c.out = fmt.Appendf(c.out[:0], "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %v;branch=z9hG4bK%d;rport\r\n"+
		"From: <sip:alice@example.org>;tag=1\r\nTo: <sip:bob@example.org>\r\nCall-ID: %d@example.org\r\nCSeq: 1 %s\r\n"+
		"Max-Forwards: 70\r\n%s", method, uri, c.conn.LocalAddr(), c.n, c.n, method, rest)
	c.exchange()
}

// exchange sends the request in c.out, which must be answered with 200.
func (c *client) exchange() {
	c.Helper()
	if _, err := c.conn.Write(c.out); err != nil {
		c.Fatal(err)
	}
	n, err := c.conn.Read(c.in)
	if err != nil || !bytes.HasPrefix(c.in[:n], []byte("SIP/2.0 200 ")) {
		c.Fatalf("%q: %v, %q", c.out, err, c.in[:n])
	}
}

// accepting starts a phone that accepts all messages, and returns its address.
func accepting(tb testing.TB) netip.AddrPort {
	tb.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	go func() {
		in, out := make([]byte, 65536), make([]byte, 0, 65536)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(in)
			if err != nil {
				return
			}
			out = append(out[:0], "SIP/2.0 200 OK\r\n"...)
			for line := range bytes.Lines(in[:n]) {
				name, _, _ := bytes.Cut(line, []byte(":"))
				switch string(name) {
				case "Via", "From", "To", "Call-ID", "CSeq":
					out = append(out, line...)
				}
			}
			out = append(out, "Content-Length: 0\r\n\r\n"...)
			_, _ = conn.WriteToUDPAddrPort(out, from)
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// The identity that a trusted peer asserts in a REGISTER can name another mailbox.
func TestMailboxOfAnAssertedIdentity(t *testing.T) {
	owner := func(v silo.Values) string { return v("hdr", "P-Asserted-Identity") }
	s := serve(t, silo.Settings{DumpOwner: owner})
	sender := s.proxy.Sender(proxy.SenderSettings{})
	shop := sip.AoR{User: "shop", Domain: "example.org"}
	if sender.Online(shop) {
		t.Fatal("the mailbox is delivered without a device")
	}
	s.client(t).accepted("REGISTER", "sip:example.org",
		"Contact: <sip:bob@127.0.0.1:9>\r\nP-Asserted-Identity: sip:shop@example.org\r\nContent-Length: 0\r\n\r\n")
	for end := time.Now().Add(5 * time.Second); !sender.Online(shop); { // after the answer
		if time.Now().After(end) {
			t.Fatal("the mailbox is not delivered to the user")
		}
		time.Sleep(time.Millisecond)
	}
}

// BenchmarkRelay measures a MESSAGE that is relayed to a phone, including the parts of the
// sender and the phone.
func BenchmarkRelay(b *testing.B) {
	s := serve(b, silo.Settings{})
	phone := accepting(b)
	uri, err := sip.ParseURI("sip:bob@" + phone.String())
	if err == nil {
		_, err = s.location.Update(b.Context(), &registrar.Register{
			AoR: bob, Contacts: []sip.NameAddr{{URI: uri}}, Expires: 3600, CallID: "1", CSeq: 1, Methods: "INVITE, ACK, CANCEL, BYE, OPTIONS, MESSAGE",
			Flow: func(sip.URI) (sip.Flow, *registrar.Error) {
				return sip.Flow{Transport: sip.UDP, Local: s.addr, Remote: phone}, nil
			},
		})
	}
	if err != nil {
		b.Fatal(err)
	}
	c := s.client(b)
	b.ReportAllocs()
	for b.Loop() {
		c.accepted("MESSAGE", "sip:bob@example.org", "Content-Type: text/plain\r\nUser-Agent: phone\r\nContent-Length: 5\r\n\r\nhello")
	}
}

// BenchmarkRegister measures a REGISTER that refreshes a binding, including the client's part.
func BenchmarkRegister(b *testing.B) {
	c := serve(b, silo.Settings{}).client(b)
	b.ReportAllocs()
	for b.Loop() {
		c.n++
		c.out = fmt.Appendf(c.out[:0], "REGISTER sip:example.org SIP/2.0\r\nVia: SIP/2.0/UDP %v;branch=z9hG4bK%d;rport\r\n"+
			"From: <sip:bob@example.org>;tag=1\r\nTo: <sip:bob@example.org>\r\nCall-ID: 1@example.org\r\nCSeq: %d REGISTER\r\n"+
			"Max-Forwards: 70\r\nContact: <sip:bob@127.0.0.1:9>\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n", c.conn.LocalAddr(), c.n, c.n)
		c.exchange()
	}
}
