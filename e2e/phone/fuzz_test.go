package phone

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	sipgo "github.com/emiago/sipgo/sip"

	"silod/sip"
)

const seedRequest = "MESSAGE sip:bob@127.0.0.1 SIP/2.0\r\nv: SIP/2.0/UDP h;branch=z9hG4bK1\r\n" +
	"Via: SIP/2.0/UDP g;branch=z9hG4bK0\r\nf: Al <sip:al@h>;tag=1\r\nt: sip:bob@h\r\ni: 1\r\nCSeq: 1 MESSAGE\r\n" +
	"Subject: a\r\n b\r\nl: 2\r\n\r\nhi"

// FuzzRequest checks that each answer repeats the required header fields and is one message.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(seedRequest))
	f.Add([]byte(strings.Replace(seedRequest, "\r\nSubject", "\nX: y\r\nSubject", 1)))
	f.Add([]byte("OPTIONS sip:h SIP/2.0\r\n\r\n"))
	f.Add([]byte("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nContact: <sip:a@h>;expires=5\r\n\r\n"))
	flow := &flow{conn: deaf{}}
	f.Fuzz(func(t *testing.T, data []byte) {
		msg, err := newParser().ParseSIP(data)
		if err != nil {
			return
		}
		switch msg := msg.(type) {
		case *sipgo.Response:
			res := &Response{Code: msg.StatusCode, Headers: headersOf(msg)}
			viaBranch(res.Headers.Get("Via"))
			if d := granted(res, sip.URI{Scheme: "sip", User: "a", Host: "h"}, time.Minute); d < 0 {
				t.Errorf("granted %v", d)
			}
		case *sipgo.Request:
			m, err := newMessage(flow, msg, data)
			if err != nil {
				return
			}
			out := response(m, Answer{Code: 202})
			if n := bytes.Count(out, []byte("\n")); n != bytes.Count(out, []byte("\r\n")) {
				t.Fatalf("stray line break in\n%q", out)
			}
			back, err := newParser().ParseSIP(out)
			if err != nil {
				t.Fatalf("%v in\n%q", err, out)
			}
			hs := headersOf(back.(*sipgo.Response))
			for _, name := range []string{"Via", "From", "Call-ID", "CSeq"} {
				if got, want := hs.All(name), m.Headers.All(name); strings.Join(got, "\n") != strings.Join(want, "\n") {
					t.Errorf("%s is %q, was %q", name, got, want)
				}
			}
		}
	})
}

// FuzzServer checks that each server address that is accepted can be dialled.
func FuzzServer(f *testing.F) {
	for _, s := range []string{"127.0.0.1:5060", "tcp:h", "sip:[::1]:5070;transport=TCP", "sip:a@h?x=y", "udp:", "h:0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := parseEndpoint(s)
		if err == nil && (e.host == "" || e.port == 0 || e.network != "udp" && e.network != "tcp") {
			t.Errorf("%q is parsed as %+v", s, e)
		}
	})
}

// A deaf is a connection with addresses and nothing else.
type deaf struct{ net.Conn }

func (deaf) LocalAddr() net.Addr  { return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (deaf) RemoteAddr() net.Addr { return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2} }
