package main

import (
	"strings"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

func TestTextCannotControlTheTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain ünïcode ✓":  "plain ünïcode ✓",
		"\x1b[2Jgone":      "\uFFFD[2Jgone",
		"a\r\nb\tc":        "a  b c",
		"\u009b31m":        "\uFFFD31m",
		"\u202eevil":       "\uFFFDevil",
		"\x00\x7f":         "\uFFFD\uFFFD",
		"a\u200bb\ufeff":   "a\uFFFDb\uFFFD",
		"a\u00adb\u2063":   "a\uFFFDb\uFFFD",
		"a\u2028b":         "a b",
		"\U000e0041\u3164": "\uFFFD\uFFFD",
		"❤\ufe0f 👩\u200d🚀 می\u200cخواهم": "❤\ufe0f 👩\u200d🚀 می\u200cخواهم",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	if got := cleanLines("one\r\ntwo\n\x1b[H"); got != "one\ntwo\n\uFFFD[H" {
		t.Errorf("cleanLines returns %q", got)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b]0;title\x07 text \xff\xfe \u2066")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range clean(s) {
			if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
				t.Fatalf("%U is left in %q", r, s)
			}
		}
		if strings.ContainsAny(cleanLines(s), "\r\x1b") {
			t.Fatalf("%q keeps control characters", s)
		}
	})
}

func TestLocalTime(t *testing.T) {
	defer func(l *time.Location) { time.Local = l }(time.Local)
	time.Local = time.FixedZone("here", 2*3600)
	for in, want := range map[string]string{
		"2026-11-21T22:14:11Z":     "2026-11-22 00:14:11",
		"never":                    "never",
		"2026-11-21Tnot a time at": "2026-11-21Tnot a time at",
	} {
		if got := localTime(in); got != want {
			t.Errorf("localTime(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestFormatMessage(t *testing.T) {
	at := time.Date(2026, 11, 21, 22, 14, 11, 0, time.UTC)
	message := func(name, contentType, body string, more ...gosip.Header) *sipMessage {
		req := gosip.NewRequest(gosip.MESSAGE, gosip.Uri{Scheme: "sip", User: "bob", Host: "127.0.0.1"})
		for _, h := range append([]gosip.Header{
			gosip.NewHeader("v", "SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1"), gosip.NewHeader("f", "<sip:alice@example.org>"),
			gosip.NewHeader("To", "<sip:bob@example.org>"), gosip.NewHeader("Call-ID", "1"), gosip.NewHeader("CSeq", "1 MESSAGE"),
			gosip.NewHeader("Content-Type", contentType),
		}, more...) {
			req.AppendHeader(h)
		}
		req.SetBody([]byte(body))
		m, err := newMessage(req, at)
		if err != nil {
			t.Fatal(err)
		}
		m.from.Name = name
		return m
	}
	for _, tt := range []struct {
		name string
		m    *sipMessage
		want string
	}{
		{"plain", message("", "text/plain", "hello"), "22:14:11  alice@example.org  hello\n"},
		{"several lines", message("Al \x1b[1m", "TEXT/plain;charset=utf-8", "one\r\ntwo\n\n"), "22:14:11  Al \uFFFD[1m <alice@example.org>  one\n          two\n"},
		{"subject", message("", "text/plain", "hi", gosip.NewHeader("s", "news")), "22:14:11  alice@example.org  [news] hi\n"},
		{"not text", message("", "application/im-iscomposing+xml", "<x/>"), "22:14:11  alice@example.org  (application/im-iscomposing+xml, 4 bytes)\n"},
		{"compressed", message("", "text/plain", "x", gosip.NewHeader("Content-Encoding", "deflate")), "22:14:11  alice@example.org  (text/plain, 1 byte)\n"},
		{"not UTF-8", message("", "text/plain", "\xff"), "22:14:11  alice@example.org  (text/plain, 1 byte)\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := formatMessage(tt.m); got != tt.want {
				t.Errorf("got\n%q\nwant\n%q", got, tt.want)
			}
		})
	}
}

func TestMeaning(t *testing.T) {
	for code, want := range map[int]string{
		200: "delivered", 202: "stored", 299: "accepted it", 403: "not allow", 407: "--password-stdin",
		404: "no bob", 480: "cannot be reached", 486: "refuses", 500: "failed", 503: "again in 7 seconds", 603: "refuses",
	} {
		res := gosip.NewResponse(code, "")
		res.AppendHeader(gosip.NewHeader("Retry-After", "7;duration=60"))
		if got := meaning("bob", res); !strings.Contains(got, want) {
			t.Errorf("%d means %q, want %q", code, got, want)
		}
	}
}
