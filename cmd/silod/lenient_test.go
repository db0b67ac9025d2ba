package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
)

// TestOddRequests sends requests of devices that RFC 3261 does not allow and that have one
// meaning. The message is delivered, with its body unchanged, and well-formed: testdata has it
// as the device receives it. The mailbox delivers it in the same way.
func TestOddRequests(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b, carol := s.phone("udp", "alice"), s.phone("udp", "bob"), s.phone("udp", "carol")
	b.register(60)
	send := func(c oddRequest, n int, to string, want int) bool {
		t.Helper()
		raw := strings.ReplaceAll(strings.ReplaceAll(fmt.Sprintf(c.format, n), "\n", "\r\n"), "bob@", to+"@")
		if c.lf {
			raw = strings.ReplaceAll(raw, "\r\n", "\n")
		}
		if _, err := io.WriteString(a.conn, raw); err != nil {
			t.Fatal(err)
		}
		answer := <-a.answers
		if status(answer) != want {
			t.Errorf("%s, to %s: answered\n%s", c.name, to, answer)
		}
		return status(answer) == want
	}
	var seen strings.Builder
	relayed := make([]string, len(oddRequests))
	volatile := regexp.MustCompile(`Via: [^\r]*\r\n|@[0-9.]+:[0-9]+`)
	for i, c := range oddRequests {
		if !send(c, i, "bob", 200) {
			continue
		}
		relayed[i] = b.next()
		fmt.Fprintf(&seen, "= %s\n%q\n", c.name, volatile.ReplaceAllString(relayed[i], ""))
		want := "hello\r\n\x00\xffbob"
		if c.lf {
			want = "hello\n\x00\xffbob"
		}
		if body(relayed[i]) != want {
			t.Errorf("%s: delivered with the body %q", c.name, body(relayed[i]))
		}
	}
	golden(t, "testdata/oddrequests.txt", seen.String())

	for i, c := range oddRequests {
		send(c, 1000+i, "carol", 202)
	}
	carol.register(60)
	for i, c := range oddRequests {
		m := carol.next()
		for _, name := range []string{"From", "To", "CSeq", "Content-Type", "X-Own", "Expires", "Alert-Info"} {
			if got, want := header(m, name), strings.Replace(header(relayed[i], name), "bob@", "carol@", 1); got != want {
				t.Errorf("%s: %s is delivered as %q by the mailbox, and else as %q", c.name, name, got, want)
			}
		}
		if body(m) != body(relayed[i]) {
			t.Errorf("%s: delivered by the mailbox with the body %q", c.name, body(m))
		}
	}
}

// TestOddAnswers checks that an answer of a device counts if its status is clear: a message that
// a device has accepted must not be delivered again.
func TestOddAnswers(t *testing.T) {
	t.Parallel()
	s := serve(t, "sip.accept_timeout = '1s'")
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	b.register(60)
	b.autoReply.Store(0)
	for _, oldnew := range [][]string{
		{"", ""},
		{"SIP/2.0 200 Test", "sip/2.0 200"},
		{"SIP/2.0 200 Test", "SIP/2.0\t200  OK "},
		{"200 Test", "299 \xc4h"},
		{"Content-Length: 0", "Content-Length: 10"},
		{"Content-Length: 0", "Content-Length: x"},
		{"Content-Length: 0", "garbage"},
		{"Content-Length: 0", "X Y: z"},
		{"Content-Length: 0", "X: a\x00b\rc"},
		{"Content-Length: 0\r\n\r\n", ""},
		{"\r\n", "\n"},
		{"From: ", "From: garbage "},
		{"From: ", "X: "},
		{"To: ", "X: "},
		{"CSeq: ", "X: "},
		{"Call-ID: ", "X: "},
		{"Via: ", "v :\r\n "},
		{"Via: ", "Via: ,"},
	} {
		asked := make(chan string, 1)
		go func() {
			asked <- a.ask(a.text(bob, "hello"))
		}()
		m := b.next()
		answer := strings.ReplaceAll(b.response(m, 200), oldnew[0], oldnew[1])
		if oldnew[0] == "" {
			answer = b.response(m, 200)
		}
		if _, err := io.WriteString(b.conn, answer); err != nil {
			t.Fatal(err)
		}
		if got := <-asked; status(got) != 200 && status(got) != 299 {
			t.Errorf("%q: the sender is answered\n%s", answer, got)
		}
	}
	b.nothing()
}

// An oddRequest is a request with \n for CRLF; %[1]d stands for a number.
type oddRequest struct {
	name, format string
	lf           bool // it has line feeds only
}

var oddRequests = []oddRequest{
	odd("nothing odd"),
	{name: "line feeds", format: odd("", "Content-Length: 12\n", "").format, lf: true},
	odd("spaces in the request line", "MESSAGE sip:bob@127.0.0.1", "MESSAGE  sip:bob@127.0.0.1 "),
	odd("spaces behind the request line", "SIP/2.0\nV", "SIP/2.0  \nV"),
	odd("method and version in lower case", "MESSAGE sip:bob@127.0.0.1 SIP/2.0", "message sip:bob@127.0.0.1 sip/2.0", "1 MESSAGE", "1 message"),
	odd("no port behind the colon", "sip:bob@127.0.0.1 ", "sip:bob@127.0.0.1: "),
	odd("empty URI parameters", "sip:bob@127.0.0.1 ", "sip:bob@127.0.0.1;;x; "),
	odd("display name with a comma", "From: <", "From: Bell, Alexander <"),
	odd("display name with a comment", "From: <", "From: Alice (home) <"),
	odd("display name that is an address", "From: <", "From: alice@example.org <"),
	odd("display name in Latin-1", "From: <", "From: \"J\xfcrgen\" <"),
	odd("display name in UTF-8 without quotes", "From: <", "From: Jürgen Müller<"),
	odd("spaces in angle brackets", "<sip:alice@127.0.0.1>", "< sip:alice@127.0.0.1 >"),
	odd("no scheme", "<sip:alice@127.0.0.1>", "<alice@127.0.0.1>"),
	odd("no angle brackets", "<sip:alice@127.0.0.1>", "sip:alice@127.0.0.1"),
	odd("headers without angle brackets", "<sip:alice@127.0.0.1>", "sip:alice@127.0.0.1?Subject=x"),
	odd("empty user part", "<sip:alice@127.0.0.1>", "<sip:@gw.example>"),
	odd("port 0", "<sip:alice@127.0.0.1>", "<sip:alice@127.0.0.1:0>"),
	odd("zone of an IPv6 address", "<sip:alice@127.0.0.1>", "<sip:alice@[fe80::1%%eth0]>"),
	odd("empty parameters", ";tag=1", ";;tag=1;"),
	odd("odd parameters", ";tag=1", ";tag={1};x/y=1;flag;z=\"a;b\""),
	odd("characters in the user part", "<sip:alice@127.0.0.1>", "<sip:9901#1{}|^[]`~ü@127.0.0.1>"),
	odd("Latin-1 in the user part", "<sip:alice@127.0.0.1>", "<sip:j\xfcrgen@elsewhere.example>", "To: <sip:bob@127.0.0.1>", "To: <sip:b\xf6b@elsewhere.example>"),
	odd("To without a scheme", "To: <sip:bob@127.0.0.1>", "To: bob@127.0.0.1"),
	odd("To with another scheme", "To: <sip:bob@127.0.0.1>", "To: tel:+49-123;phone-context=x"),
	odd("To with a comma", "To: <", "To: Smith, Bob <"),
	odd("CSeq with zeros", "CSeq: 1 ", "CSeq: 0002147483647   "),
	odd("Max-Forwards with zeros", "Max-Forwards: 70", "Max-Forwards: 0070"),
	odd("no Max-Forwards", "Max-Forwards: 70\n", ""),
	odd("no tag, no Content-Type and no Content-Length", ";tag=1", "", "Content-Type: text/plain\n", "", "Content-Length: 12\n", ""),
	odd("odd Vias", ";rport", ";rport, SIP / 2.0 / UDP [fe80::1%%eth0]:5060 ;branch=1,SIP/2.0/TLS a_b:99999,"),
	odd("host name of a phone", "127.0.0.1;branch", "John's-iPhone;branch"),
	odd("empty Route", "Max-Forwards", "Route: ,\nroute: ,<sip:127.0.0.1;lr>,\nMax-Forwards"),
	odd("compact forms, folds and spaces", "From:", "f \t:\n ", "Call-ID: ", "i:", "Content-Type: text/plain", "C : text/plain;\n\tcharset = utf-8 "),
	odd("header fields of any kind", "Max-Forwards", "Date: today\nExpires: soon\nSupported:\nX-Own: \xff\xfe \"\x01\nContact: <mailto:a@b>\n"+
		"User-Agent: Tüst\nSubject:\nX|^$&#: a:b\nAlert-Info: <a>, <b>\nMax-Forwards"),
	odd("odd media type", "text/plain", "TEXT/plain;;charset=utf-8;x"),
	odd("an empty media type", "text/plain", ""),
}

// odd returns a request in which each old text is replaced by a new one.
func odd(name string, oldnew ...string) oddRequest {
	format := "MESSAGE sip:bob@127.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKodd%[1]d;rport\nMax-Forwards: 70\n" +
		"From: <sip:alice@127.0.0.1>;tag=1\nTo: <sip:bob@127.0.0.1>\nCall-ID: odd-%[1]d\nCSeq: 1 MESSAGE\n" +
		"Content-Type: text/plain\nContent-Length: 12\n\nhello\n\x00\xffbob"
	for i := 0; i < len(oldnew); i += 2 {
		format = strings.Replace(format, oldnew[i], oldnew[i+1], 1)
	}
	return oddRequest{name: name, format: format}
}
