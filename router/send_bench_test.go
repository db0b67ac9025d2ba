package router

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"testing"

	"silod/delivery"
	"silod/im"
	"silod/registrar"
	"silod/silo"
	"silod/sip"
	"silod/stack"
)

// answering is a phone that takes everything: it sends back the header lines that
// an answer needs.
func answering(b *testing.B) netip.AddrPort {
	b.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	go func() {
		in, out := make([]byte, 65536), make([]byte, 0, 65536)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(in)
			if err != nil {
				return
			}
			out = append(out[:0], "SIP/2.0 200 OK\r\n"...)
			for line := range bytes.Lines(in[:n]) {
				for _, name := range []string{"Via:", "From:", "To:", "Call-ID:", "CSeq:"} {
					if bytes.HasPrefix(line, []byte(name)) {
						out = append(out, line...)
					}
				}
			}
			out = append(out, "Content-Length: 0\r\n\r\n"...)
			_, _ = conn.WriteToUDPAddrPort(out, from)
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// silent is a handler of a stack to which no requests come.
type silent struct{}

func (silent) AcceptSource(sip.Flow) bool                { return true }
func (silent) AcceptRequest(*sip.Request, sip.Flow) bool { return false }
func (silent) Handle(*stack.ServerTx) stack.Work         { return nil }
func (silent) Done(*stack.ServerTx)                      {}
func (silent) FlowClosed(sip.Flow)                       {}

// BenchmarkSend is what it takes to bring a queued message to a phone, the phone's
// part of it included.
func BenchmarkSend(b *testing.B) {
	st := stack.New(stack.Config{
		Listen: []stack.Endpoint{{Transport: sip.UDP, Addr: netip.MustParseAddrPort("127.0.0.1:0")}},
	})
	st.SetHandler(silent{})
	if err := st.Listen(b.Context()); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error)
	go func() { ended <- st.Run(ctx) }()
	phone := answering(b)
	flow := sip.Flow{Transport: sip.UDP, Local: st.Endpoints()[0].Addr, Remote: phone}
	domains := sip.NewDomains("example.org")
	loc := registrar.New(registrar.Options{}, registrar.Settings{})
	bob := user("bob")
	contact, err := sip.ParseNameAddr("<sip:bob@" + phone.String() + ">")
	if err == nil {
		_, err = loc.Update(ctx, &registrar.Register{
			AoR: bob, Contacts: []sip.NameAddr{contact}, Expires: 3600, CallID: "1", CSeq: 1, Methods: "INVITE, ACK, CANCEL, BYE, OPTIONS, MESSAGE",
			Flow: func(sip.URI) string { return flow.String() },
		})
	}
	if err != nil {
		b.Fatal(err)
	}
	s := &Sender{Router: New(Options{Stack: st, Location: loc, Domains: domains, Silo: silo.New(silo.Options{Domains: domains})}, Settings{})}
	it := delivery.Item{Key: 1, Message: im.Message{
		From: "<sip:chat-1@example.org>;tag=0a1b2c3d4e5f", To: "<sip:bob@example.org>",
		CallID: "0123456789abcdef0123456789abcdef@example.org", CSeq: 4711,
		Headers: []sip.Header{
			{Name: "Content-Type", Value: "text/plain"},
			{Name: "In-Reply-To", Value: "0123456789abcdef"},
			{Name: "Date", Value: "Sun, 22 Nov 2026 02:48:18 GMT"},
		},
		Body: bytes.Repeat([]byte{'x'}, 110),
	}}
	b.ReportAllocs()
	for b.Loop() {
		if out := s.Send(ctx, bob, &it).Wait(ctx); out.Verdict != delivery.Delivered {
			b.Fatal(out)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		b.Error(err)
	}
}
