package stack

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"silod/sip"
)

// RFC 3261 section 18.2.1 and RFC 3581 section 4: what is added to the topmost Via;
// section 18.2.2: where the answer goes over UDP.
func TestWhereAnswersGo(t *testing.T) {
	for _, tc := range []struct{ via, from, stamp, to string }{
		{"192.0.2.1:5070", "192.0.2.1:5070", "", "192.0.2.1:5070"},
		{"192.0.2.1", "192.0.2.1:5060", "", "192.0.2.1:5060"},
		{"192.0.2.1", "192.0.2.1:40000", "", "192.0.2.1:5060"},
		{"192.0.2.1:5070;rport", "192.0.2.1:40000", ";rport=40000;received=192.0.2.1", "192.0.2.1:40000"},
		{"10.0.0.1:5070;rport", "192.0.2.1:40000", ";rport=40000;received=192.0.2.1", "192.0.2.1:40000"},
		// A NAT that the client knows nothing of has no other port open.
		{"10.0.0.1:5070", "192.0.2.1:40000", ";received=192.0.2.1", "192.0.2.1:40000"},
		{"host.example:5070", "192.0.2.1:40000", ";received=192.0.2.1", "192.0.2.1:5070"},
		{"host.example;received=192.0.2.9", "192.0.2.1:40000", ";received=192.0.2.1", "192.0.2.1:5060"},
		{"[2001:db8::9:1]", "[2001:db8::9:1]:5060", "", "[2001:db8::9:1]:5060"},
		{"[2001:DB8:0:0::9:1]:5070", "[2001:db8::9:1]:40000", "", "[2001:db8::9:1]:5070"},
		{"[2001:db8::9:1];rport", "[2001:db8::9:1]:40000", ";rport=40000;received=2001:db8::9:1", "[2001:db8::9:1]:40000"},
		{"[2001:db8::9:1]", "[2001:db8::9:2]:40000", ";received=2001:db8::9:2", "[2001:db8::9:2]:40000"},
		{"[::ffff:192.0.2.1]:5070", "192.0.2.1:40000", "", "192.0.2.1:5070"},
		{"[fe80::1]:5070", "[fe80::1%lo]:40000", "", "[fe80::1%lo]:5070"},
		{"x7.invalid;rport", "[fe80::1%lo]:40000", ";rport=40000;received=fe80::1", "[fe80::1%lo]:40000"},
	} {
		sentBy, params, _ := strings.Cut(tc.via, ";")
		value := "SIP/2.0/UDP " + tc.via + ";branch=z9hG4bK1"
		v, err := parseVia(value)
		if err != nil {
			t.Fatalf("%s: %v", tc.via, err)
		}
		src := netip.MustParseAddrPort(tc.from)
		stamp, ok := strings.CutPrefix(stamped(&v, value, src), "SIP/2.0/UDP "+sentBy)
		got, err := parseVia("SIP/2.0/UDP " + sentBy + stamp)
		if !ok || err != nil || got.Branch() != "z9hG4bK1" {
			t.Fatalf("%s from %s: stamped %q, %v", tc.via, src, stamp, err)
		}
		want := tc.stamp
		if want == "" && params != "" {
			want = ";" + params
		}
		if s := got.Params.Without("branch").String(); s != want {
			t.Errorf("%s from %s: stamped %q, want %q", tc.via, src, s, want)
		}
		if to := v.replyAddr(src); to.String() != tc.to {
			t.Errorf("%s from %s: answered to %s, want %s", tc.via, src, to, tc.to)
		}
	}
}

// Which answers of a device are given on, and that a retransmission gets the same.
func TestForward(t *testing.T) {
	_, udp, _ := running(t, Config{Handler: func(_ context.Context, r *Request) {
		n, _ := strconv.Atoi(r.Target.User)
		r.Forward(&Message{Status: n, Reason: "As I say", Body: []byte("why"), Headers: []sip.Header{
			{Name: "Via", Value: "SIP/2.0/UDP ours"}, {Name: "From", Value: "x"}, {Name: "To", Value: "<sip:bob@127.0.0.1>;tag=theirs"}, {Name: "Warning", Value: "399 x y"}, {Name: "Content-Length", Value: "3"},
		}})
	}})
	for asked, want := range map[string]string{
		"200": "200 As I say", "486": "486 As I say", "603": "603 As I say",
		"408": "480 Temporarily Unavailable", "503": "500 Server Internal Error",
	} {
		c := dial(t, "udp", udp)
		m := strings.Replace(message(c, "z9hG4bK"+asked), "sip:bob@", "sip:"+asked+"@", 1)
		send(t, c, m)
		first := hear(t, c, patience)
		if !strings.HasPrefix(first, "SIP/2.0 "+want+"\r\nVia: SIP/2.0/UDP 127.0.0.1:") || strings.Contains(first, "ours") ||
			!strings.HasSuffix(first, "To: <sip:bob@127.0.0.1>;tag=theirs\r\nCall-ID: z9hG4bK"+asked+"@test\r\nCSeq: 1 MESSAGE\r\n"+
				"Warning: 399 x y\r\nContent-Length: 3\r\n\r\nwhy") {
			t.Errorf("%s is passed on as\n%s", asked, first)
		}
		send(t, c, m)
		if again := hear(t, c, patience); again != first {
			t.Errorf("%s again:\n%s", asked, again)
		}
	}
}

// RFC 3261 section 18.2.2: where the connection of a request has closed, its answer
// goes to the source's address, at the port in Via.
func TestAnswerOverANewConnection(t *testing.T) {
	for _, tr := range []Transport{TCP, TLS} {
		answer := make(chan struct{})
		s, addrs := runningAll(t, Config{Handler: func(_ context.Context, r *Request) {
			<-answer
			r.Respond(200, "late")
		}})
		// The peer is a stack as well: it hears a response that it has not asked for.
		far, at := runningAll(t, Config{Handler: echo})
		s.cfg.RootCAs = far.cfg.RootCAs
		near, err := net.Dial("tcp", addrs[tr].String())
		if err != nil {
			t.Fatal(err)
		}
		if tr == TLS {
			near = tls.Client(near, insecure())
		}
		send(t, near, strings.Replace(message(near, "z9hG4bK1"), near.LocalAddr().String(), at[tr].String(), 1))
		for end := time.Now().Add(patience); s.Handlers() == 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		_ = near.Close()
		for end := time.Now().Add(patience); s.Connections() > 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		close(answer)
		for end := time.Now().Add(patience); far.Stats.Stray.Value() == 0; {
			if time.Now().After(end) {
				t.Fatalf("%s: no answer came", tr)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

func stamped(v *Via, value string, src netip.AddrPort) string {
	return string(v.appendStamped(nil, value, src))
}
