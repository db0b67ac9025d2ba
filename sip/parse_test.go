package sip

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	sipgo "github.com/emiago/sipgo/sip"
)

func TestParseKeepsValues(t *testing.T) {
	raw := request(
		"MESSAGE sip:bob@example.org;x=Y SIP/2.0",
		"v: SIP/2.0/UDP a.example;branch=z9hG4bK1 , SIP / 2.0 / TCP b.example:5070;branch=z9hG4bK2",
		`f: "Alice, \"A\"" <sip:alice@example.org>;tag=1`,
		"t: sip:bob@example.org",
		"i: 1@a", "CSEQ: 1 MESSAGE", "c:  text/plain;charset=utf-8",
		"s: one,", "  two", "X-Fo\u00f6: ignored", "x-Own: As  Written", "l: 3", "", "h\x00i and more")
	raw = bytes.Replace(raw, []byte("X-Fo\u00f6: ignored\r\n"), nil, 1)
	m, err := Parse(raw, false)
	if err != nil {
		t.Fatal(err)
	}
	want := []Header{
		{Name: "Via", Value: "SIP/2.0/UDP a.example;branch=z9hG4bK1"},
		{Name: "Via", Value: "SIP / 2.0 / TCP b.example:5070;branch=z9hG4bK2"},
		{Name: "From", Value: `"Alice, \"A\"" <sip:alice@example.org>;tag=1`},
		{Name: "To", Value: "sip:bob@example.org"},
		{Name: "Call-ID", Value: "1@a"},
		{Name: "CSeq", Value: "1 MESSAGE"},
		{Name: "Content-Type", Value: "text/plain;charset=utf-8"},
		{Name: "Subject", Value: "one, two"},
		{Name: "x-Own", Value: "As  Written"},
		{Name: "Content-Length", Value: "3"},
	}
	if len(m.Headers) != len(want) {
		t.Fatalf("headers: %q", m.Headers)
	}
	for i := range want {
		if m.Headers[i] != want[i] {
			t.Errorf("header %d is %q, want %q", i, m.Headers[i], want[i])
		}
	}
	if m.Method != "MESSAGE" || m.URI != "sip:bob@example.org;x=Y" || string(m.Body) != "h\x00i" {
		t.Errorf("got %s %s %q", m.Method, m.URI, m.Body)
	}
}

func TestParseRejects(t *testing.T) {
	ok := []string{"Via: SIP/2.0/UDP a;branch=z9hG4bK1", "From: <sip:a@a>;tag=1", "To: <sip:b@b>", "Call-ID: 1", "CSeq: 1 MESSAGE"}
	msg := func(first string, more ...string) []byte {
		return request(append(append([]string{first}, ok...), append(more, "", "")...)...)
	}
	const line = "MESSAGE sip:b@b SIP/2.0"
	for _, tc := range []struct {
		name   string
		raw    []byte
		status int // of the answer; 0: none
	}{
		{"not SIP", []byte("hello\r\n\r\n"), 0},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 0},
		{"empty line first", []byte("\r\n\r\n"), 0},
		{"version", msg("MESSAGE sip:b@b SIP/7.0"), 505},
		{"a method that is not a token", msg("MESS@GE sip:b@b SIP/2.0"), 400},
		{"no version", msg("MESSAGE sip:b@b"), 400},
		{"white space in the URI", msg("MESSAGE sip:b@b; x SIP/2.0"), 400},
		{"no colon", msg(line, "Subject"), 400},
		{"bad name", msg(line, "Sub ject: x"), 400},
		{"NUL in a header", msg(line, "Subject: a\x00b"), 400},
		{"CR in a header", msg(line, "Subject: a\rX: b"), 400},
		{"negative length", msg(line, "Content-Length: -1"), 400},
		{"length beyond the body", msg(line, "Content-Length: 10"), 400},
		{"two lengths", msg(line, "Content-Length: 0", "l: 1"), 400},
		{"huge length", msg(line, "Content-Length: 99999999999999999999"), 400},
		{"cut off", request(append([]string{line}, ok...)...), 400},
		{"a response with a bad status", msg("SIP/2.0 4294967301 OK"), 0},
		{"a response with no status", msg("SIP/2.0"), 0},
	} {
		_, err := Parse(tc.raw, false)
		var bad *ParseError
		switch {
		case tc.status == 0 && !errors.Is(err, ErrNotSIP):
			t.Errorf("%s: got %v, want no answer", tc.name, err)
		case tc.status != 0 && (!errors.As(err, &bad) || bad.Status != tc.status):
			t.Errorf("%s: got %v, want %d", tc.name, err, tc.status)
		}
	}
}

func TestAppendToReplacesLineBreaks(t *testing.T) {
	m := Message{Method: "MESSAGE", URI: "sip:b@b", Headers: []Header{{Name: "Subject", Value: "a\r\nRoute: <sip:evil>\x00"}}}
	if got := string(m.AppendTo(nil)); got != "MESSAGE sip:b@b SIP/2.0\r\nSubject: a  Route: <sip:evil> \r\nContent-Length: 0\r\n\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestVia(t *testing.T) {
	for _, tc := range []struct{ in, transport, host, branch string }{
		{"SIP/2.0/UDP pc33.atlanta.com:5066;branch=z9hG4bK87asdks7", "UDP", "pc33.atlanta.com", "z9hG4bK87asdks7"},
		{"SIP / 2.0 /tcp  [2001:db8::9] : 5061 ; Branch = z9hG4bK1;rport", "TCP", "[2001:db8::9]", "z9hG4bK1"},
		{"SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK2", "WS", "df7jal23ls0d.invalid", "z9hG4bK2"},
	} {
		v, err := ParseVia(tc.in)
		if err != nil || v.Transport != tc.transport || v.Host != tc.host || v.Branch() != tc.branch {
			t.Errorf("%s: %+v, %v", tc.in, v, err)
		}
	}
	for _, in := range []string{"", "SIP/2.0/UDP", "HTTP/2.0/UDP a", "SIP/2.0/UDP a:x", "SIP/2.0/UDP ::1", "SIP/2.0/UDP ", "SIP/2.0/UDP a;br anch=1", "SIP/2.0/UDP a b", "SIP/2.0/UDP a 5060"} {
		if v, err := ParseVia(in); err == nil {
			t.Errorf("%q: accepted as %+v", in, v)
		}
	}
}

// FuzzParse checks that an accepted message does not change when it is written and parsed
// again, and that its Via can be stamped.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Parse(raw, false)
		if err != nil {
			return
		}
		again, err := Parse(m.AppendTo(nil), false)
		if err != nil {
			t.Fatalf("written message is rejected: %v\n%q", err, m.AppendTo(nil))
		}
		if again.Method != m.Method || again.URI != m.URI || again.Status != m.Status || !bytes.Equal(again.Body, m.Body) {
			t.Fatalf("%q became %q", m.AppendTo(nil), again.AppendTo(nil))
		}
		if v, err := ParseVia(m.Get("Via")); err == nil {
			if _, err := ParseVia(stamped(&v, m.Get("Via"), netip.MustParseAddrPort("[2001:db8::1]:5070"))); err != nil {
				t.Fatalf("stamped Via is rejected: %v", err)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	raw := request(
		"MESSAGE sip:bob@example.org SIP/2.0",
		"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK.MobyGbga6;rport",
		"From: <sip:alice@sip.test>;tag=0HnaWwSzF", "To: sip:bob@sip.test", "CSeq: 20 MESSAGE", "Call-ID: LDP4gDqEnb",
		"Max-Forwards: 70", "Supported: replaces, outbound, gruu", "Date: Sat, 21 Nov 2026 22:31:07 GMT",
		"Content-Type: text/plain", "Content-Length: 21", "User-Agent: Linphonec/5.1.65", "", "offline one ma4a7b800")
	b.Run("silod", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Parse(raw, false); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sipgo", func(b *testing.B) {
		b.ReportAllocs()
		p := sipgo.NewParser()
		for b.Loop() {
			if _, err := p.ParseSIP(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}
