package main

import (
	"io"
	"strings"
	"testing"
)

// A MESSAGE has From and To with URIs that any parser reads, relayed or stored; the rest of the
// values is the sender's. The answer has the From and To of the sender, with the tag of the
// device. Values within the grammar are sent on as they are (RFC 3261 sections 16.6 and 16.7).
func TestStrictFromAndTo(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ from, to, sentFrom, sentTo string }{
		{`"Jürgen #1" <sip:jürgen@sip.test>;tag=a#;x={y}`, `<sip:9901#1@sip.test>`, `"Jürgen #1" <sip:j%C3%BCrgen@sip.test>;tag=a#;x={y}`, `<sip:9901%231@sip.test>`},
		{"sip:j\xfcrg@sip.test;tag=1", "A\xfc\t<sip:9901#1@sip.test:5060;user=phone;x={>", "sip:j%FCrg@sip.test;tag=1", "A\xfc\t<sip:9901%231@sip.test:5060;user=phone;x=%7B>"},
		{`<sip:a:p^w@sip.test>;tag=1`, `Doe, J. <sip:9901#1@sip.test>`, `<sip:a:p%5Ew@sip.test>;tag=1`, `"Doe, J." <sip:9901%231@sip.test>`},
		{`<IM:j#@other.test>;tag=1`, `<sip:9901%231@SIP.test>;x=#`, `<im:j%23@other.test>;tag=1`, `<sip:9901%231@SIP.test>;x=#`},
		{`<SIP:%6A%fc@SIP.test;X=Y>;tag=1`, `"x" <sip:%39901%231@SIP.TEST;X>`, `<SIP:%6A%fc@SIP.test;X=Y>;tag=1`, `"x" <sip:%39901%231@SIP.TEST;X>`},
	} {
		for _, network := range []string{"udp", "tcp"} {
			s := serve(t, "sip.domains = ['sip.test']")
			a, b := s.phone(network, "alice"), s.phoneAs(network, "sip:9901%231@sip.test")
			b.autoReply.Store(0)
			message := func(text string) string {
				m := a.request("MESSAGE", "sip:9901%231@sip.test", "x", text, "Content-Type: text/plain")
				m = strings.Replace(m, header(m, "From"), tc.from, 1)
				return strings.Replace(m, "To: <x>", "To: "+tc.to, 1)
			}
			answered := func(want int, m, tag string) {
				t.Helper()
				if status(m) != want || header(m, "From") != tc.from || !strings.HasPrefix(header(m, "To"), tc.to+";tag="+tag) {
					t.Errorf("%s: the answer is\n%s", network, m)
				}
			}
			for _, stored := range []bool{true, false} {
				if stored {
					answered(202, a.ask(message("stored")), "")
					b.bindAs(60)
				} else {
					s.eventually("the end of the delivery", func() bool { return s.stored() == 0 && s.engine.Active() == 0 })
					_, _ = io.WriteString(a.conn, message("relayed"))
				}
				m := b.next()
				if header(m, "From") != tc.sentFrom || header(m, "To") != tc.sentTo {
					t.Errorf("%s: stored %v: sent on as\n%s", network, stored, m)
				}
				_, _ = io.WriteString(b.conn, strings.Replace(b.response(m, 200), "\r\nTo: "+tc.sentTo, "\r\nTo: "+tc.sentTo+";tag=theirs", 1))
			}
			answered(200, <-a.answers, "theirs")
		}
	}
}

// A name of 64 letters that are escaped fits where its escapes do not: the columns of a stored
// message have it without them, and it is delivered with To and From as they came.
func TestLongNamesAreStored(t *testing.T) {
	t.Parallel()
	s := serve(t, "sip.domains = ['sip.test']")
	lower := named(strings.Repeat("%d0%b6", 64), "sip.test")
	upper := named(strings.Repeat("%D0%B6", 64), "sip.test")
	raw := named(strings.Repeat("ж", 64), "sip.test")
	a := s.phoneAs("tcp", lower)
	for _, to := range []string{lower, upper, raw} {
		if got := a.message(to, to); got != 202 {
			t.Fatalf("%s: answered %d", to, got)
		}
	}
	if list := nodeText(s.call("silo_list", upper)); strings.Count(list, "{from "+upper+"}") != 3 {
		t.Errorf("the list has another sender than %s:\n%s", upper, list)
	}
	b := s.phoneAs("udp", raw)
	b.bindAs(60)
	for _, to := range []string{lower, upper, raw} {
		sent := strictly(to)
		if m := b.next(); body(m) != to || header(m, "To") != "<"+sent+">" || !strings.HasPrefix(header(m, "From"), "<"+lower+">;tag=") {
			t.Errorf("in place of the text to %s:\n%s", to, m)
		}
	}
}
