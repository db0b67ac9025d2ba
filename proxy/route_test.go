package proxy

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"silod/delivery"
	"silod/im"
	"silod/registrar"
	"silod/sip"
	"silod/sip/transaction"
	"silod/sip/transport"
)

// silent is a handler that receives no requests.
type silent struct{}

func (silent) AcceptSource(sip.Flow) bool                    { return true }
func (silent) Trusted(sip.Flow) bool                         { return false }
func (silent) AcceptRequest(*sip.Request, sip.Flow) bool     { return false }
func (silent) Handle(*transaction.ServerTx) transaction.Work { return nil }
func (silent) Done(*transaction.ServerTx)                    {}
func (silent) FlowClosed(sip.Flow)                           {}

// running returns the lower layers of a Proxy, with a UDP socket, and a function that ends
// them.
func running(tb testing.TB) (sockets *transport.Layer, st *transaction.Layer, stop func()) {
	tb.Helper()
	sockets = transport.New(transport.Options{
		Listen: []transport.Endpoint{{Transport: sip.UDP, Addr: netip.MustParseAddrPort("127.0.0.1:0")}},
	})
	st = transaction.New(transaction.Options{Transport: sockets})
	st.SetHandler(silent{})
	if err := sockets.Listen(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(tb.Context())
	ended := make(chan error)
	go func() { ended <- st.Run(ctx) }()
	return sockets, st, func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
	}
}

// answering starts a phone that sends a response to each request, and returns its address.
// The responses have the mandatory header fields.
func answering(tb testing.TB, response string) netip.AddrPort {
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
			out = append(append(append(out[:0], "SIP/2.0 "...), response...), "\r\n"...)
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

// fixed is a Directory in which every user has the same devices.
type fixed []Device

func (d fixed) Devices(sip.AoR) []Device { return d }

func TestRoutes(t *testing.T) {
	sockets, st, stop := running(t)
	defer stop()
	p := New(Options{Transport: sockets, Transactions: st, Domains: sip.NewDomains("example.org"), Location: registrar.New(registrar.Options{}, registrar.Settings{})}, Settings{})
	flow := func(phone netip.AddrPort) sip.Flow {
		return sip.Flow{Transport: sip.UDP, Local: sockets.Endpoints()[0].Addr, Remote: phone}
	}
	accepts, failed, busy := answering(t, "200 OK"), answering(t, "430 Flow Failed"), answering(t, "486 Busy Here")
	next, err := sip.ParseURI("sip:" + accepts.String())
	if err != nil {
		t.Fatal(err)
	}
	m := &im.Message{From: "<sip:a@example.org>;tag=1", To: "<sip:b@example.org>", CallID: "1", CSeq: 1}
	large := &im.Message{From: m.From, To: m.To, CallID: "2", CSeq: 1, Body: bytes.Repeat([]byte{'x'}, transport.MaxDatagram)}
	one := func(rs ...Route) []Device { return []Device{{Routes: rs}} }
	for _, tc := range []struct {
		name      string
		msg       *im.Message
		devices   []Device
		status    int
		rerouted  int
		unreached int
	}{
		{"a flow", m, one(Route{URI: "sip:b@192.0.2.1", Flow: flow(accepts)}), 200, 0, 0},
		{"the next flow", m, one(Route{URI: "sip:b@h", Flow: flow(failed)}, Route{URI: "sip:b@h", Flow: flow(accepts)}), 200, 1, 0},
		{"a failure of the device", m, one(Route{URI: "sip:b@h", Flow: flow(busy)}, Route{URI: "sip:b@h", Flow: flow(accepts)}), 486, 0, 0},
		{"no next flow", m, one(Route{URI: "sip:b@h", Flow: flow(failed)}), 430, 0, 0},
		{"a contact without a flow", m, one(Route{URI: "sip:b@" + accepts.String(), Binding: bound("1")}), 200, 0, 0},
		{"a route that leads nowhere", m, one(Route{URI: "sip:b@127.0.0.1:1;transport=x", Binding: bound("1")}, Route{URI: "sip:b@h", Flow: flow(accepts)}), 200, 0, 0},
		{"an address elsewhere", m, []Device{p.Elsewhere("sip:b@"+accepts.String(), nil)}, 200, 0, 0},
		{"by a proxy", m, []Device{p.Elsewhere("sip:b@192.0.2.1", &next)}, 200, 0, 0},
		{"two devices", m, append(one(Route{URI: "sip:b@h", Flow: flow(busy)}), one(Route{URI: "sip:b@h", Flow: flow(busy)})...), 486, 0, 0},
		{"too large for UDP", large, one(Route{URI: "sip:b@h", Flow: flow(accepts)}), 0, 0, 1},
	} {
		k := p.Fork(t.Context(), tc.msg, tc.devices, ForkOptions{MaxForwards: 70})
		out := k.Wait(t.Context(), 0)
		k.Abandon()
		status := 0
		if out.Response != nil {
			status = out.Response.Status
		}
		if status != tc.status || out.Rerouted != tc.rerouted || out.Unreached != tc.unreached || out.Open != 0 {
			t.Errorf("%s: status %d, %+v", tc.name, status, out)
		}
	}
	if _, err := p.dial(t.Context(), Route{URI: "sip:b@127.0.0.1;transport=x"}); err == nil || errors.Is(err, errNoRoute) {
		t.Errorf("dial without a usable target: %v", err)
	}
	if !p.responds(t.Context(), sip.AoR{}, fixed(one(Route{URI: "sip:b@h", Flow: flow(busy)}))) {
		t.Error("a phone that answers does not respond")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if p.responds(ctx, sip.AoR{}, fixed(one(Route{URI: "sip:b@h", Flow: flow(netip.MustParseAddrPort("127.0.0.1:1"))}))) {
		t.Error("a phone that is switched off responds")
	}
	s := p.Sender(SenderSettings{OutboundProxy: &next})
	it := delivery.Item{Message: *m}
	if out := s.Send(t.Context(), sip.AoR{User: "b", Domain: "example.org"}, &it).Wait(t.Context()); out.Verdict != delivery.Delivered {
		t.Errorf("by the proxy of a sender: %+v", out)
	}
	s.Configure(SenderSettings{})
	if out := s.Send(t.Context(), sip.AoR{User: "b", Domain: "example.org"}, &it).Wait(t.Context()); out.Verdict != delivery.Offline {
		t.Errorf("to a user without a device: %+v", out)
	}
}
