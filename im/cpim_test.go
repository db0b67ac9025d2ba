package im_test

import (
	"fmt"
	"strings"
	"testing"

	"silod/im"
)

func crlf(lines ...string) string { return strings.Join(lines, "\r\n") }

// summary is the part of a CPIM message that a server uses.
type summary struct {
	from, to, date, messageID, wanted, content, body string
}

func TestParseCPIM(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		want       summary
		malformed  bool
	}{
		{
			"as Linphone writes it", crlf(
				"From: <sip:alice@example.org;gr=urn:uuid:1>", "To: <sip:bob@example.org>", "DateTime: 2026-11-21T12:00:00Z",
				"NS: imdn <urn:ietf:params:imdn>", "imdn.Message-ID: b8x", "imdn.Disposition-Notification: positive-delivery, negative-delivery, display",
				"", "Content-Type: text/plain; charset=UTF-8", "Content-Length: 2", "", "hi"),
			summary{
				from: "<sip:alice@example.org;gr=urn:uuid:1>", to: "<sip:bob@example.org>", date: "2026-11-21T12:00:00Z", messageID: "b8x",
				wanted: "positive-delivery, negative-delivery, display", content: "text/plain", body: "hi",
			},
			false,
		},
		{
			"another prefix", crlf("NS: dn <urn:ietf:params:imdn>", "dn.Message-ID: 1", "imdn.Message-ID: 2", "dn.Disposition-Notification: processing", "", "content-TYPE:Text/HTML", "", ""),
			summary{messageID: "1", wanted: "processing", content: "text/html"},
			false,
		},
		{"default namespace", crlf("NS: <urn:ietf:params:imdn>", "Message-ID: 1", "", "", ""), summary{messageID: "1"}, false},
		{"another namespace of that name", crlf("NS: imdn <urn:other>", "imdn.Message-ID: 1", "", ""), summary{messageID: "1", body: "none"}, false},
		{"language", crlf("Subject:;lang=fr bonjour", "From:;a=b <im:x>", "", ""), summary{from: "<im:x>", body: "none"}, false},
		{"first one counts", crlf("From: a", "From: b", "", "Content-Type: a/b", "Content-Type: c/d", "", ""), summary{from: "a", content: "a/b"}, false},
		{"names of message headers in another case", crlf("from: a", "", "", ""), summary{}, false},
		{"LF alone", "From: a\nTo: b\n\nContent-Type: x/y\n\nbody", summary{from: "a", to: "b", content: "x/y", body: "body"}, false},
		{"no headers", "\r\nContent-Type: x/y\r\n\r\n", summary{content: "x/y"}, false},
		{"no end of the content's header fields", "\r\nContent-Type: x/y", summary{content: "x/y", body: "none"}, false},
		{"not a header", "From: a\r\nnonsense\r\n\r\n", summary{from: "a", body: "none"}, true},
		{"space in a name", "Fr om: a\r\n\r\nnonsense\r\n\r\n", summary{}, true},
	} {
		c, ok := im.ParseCPIM([]byte(tc.body))
		if !ok {
			t.Errorf("%s: not parsed", tc.name)
			continue
		}
		got := summary{
			c.Header("From"), c.Header("To"), c.Header("DateTime"), c.IMDN("Message-ID"), c.IMDN("Disposition-Notification"),
			c.ContentType(), string(c.Body),
		}
		if c.Body == nil {
			got.body = "none"
		}
		if c.Malformed != tc.malformed || fmt.Sprint(got) != fmt.Sprint(tc.want) {
			t.Errorf("%s: %+v, malformed %v, want %+v", tc.name, got, c.Malformed, tc.want)
		}
	}
	for _, body := range []string{"", "From: a\r\nTo: b", "From: a\r\nTo: b\r\n"} {
		if c, ok := im.ParseCPIM([]byte(body)); ok {
			t.Errorf("%q, of which the headers have no end: %+v", body, c)
		}
	}
}

func TestWants(t *testing.T) {
	c, _ := im.ParseCPIM([]byte("imdn.Disposition-Notification: processing;x=y , negative-delivery\n\n"))
	for kind, want := range map[string]bool{"processing": true, "negative-delivery": true, "display": false, "x=y": false} {
		if c.Wants(kind) != want {
			t.Errorf("Wants(%q) is %v", kind, !want)
		}
	}
	if c, _ = im.ParseCPIM([]byte("\n\n")); c.Wants("processing") {
		t.Error("a message that asks for nothing")
	}
}

// A message that was parsed is the same when it is written and parsed again.
func FuzzParseCPIM(f *testing.F) {
	f.Add([]byte(crlf("From: <a>", "To: \"B\" <b>", "NS: imdn <urn:ietf:params:imdn>", "imdn.Message-ID: <1>&", "", "Content-Type: text/plain", "", "x")))
	f.Add([]byte("NS: <urn:ietf:params:imdn>\nMessage-ID: ]]>\x00\xff\nDisposition-Notification:;x processing\n\n: x\n\n"))
	f.Add([]byte("\n\n"))
	f.Add([]byte("Subject:;lang=fr ;x\n\n\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		before := string(body)
		c, ok := im.ParseCPIM(body)
		if !ok {
			return
		}
		for _, h := range c.Headers {
			if h.Name == "" || strings.ContainsAny(h.Name, " \t\n:") || strings.Contains(h.Value, "\n") {
				t.Errorf("header %q", h)
			}
		}
		for _, h := range c.Content {
			if strings.ContainsAny(h.Name, "\n:") || strings.Contains(h.Value, "\n") {
				t.Errorf("header field %q", h)
			}
		}
		again, ok := im.ParseCPIM(c.Append(nil))
		if !ok {
			t.Fatalf("%q is not parsed again", c.Append(nil))
		}
		if again.Malformed || fmt.Sprint(again.Headers, again.Content, string(again.Body)) != fmt.Sprint(c.Headers, c.Content, string(c.Body)) {
			t.Errorf("%+v\nbecame\n%+v", c, again)
		}
		if string(body) != before {
			t.Error("the body was written to")
		}
	})
}

func TestIMDNDocument(t *testing.T) {
	n := im.IMDN{
		MessageID: "<1>&", DateTime: "2026-11-21T12:00:00Z", Recipient: "sip:bob@example.org", OriginalRecipient: "sip:b@example.org",
		Element: "delivery-notification", Status: "failed",
	}
	const want = `<?xml version="1.0" encoding="UTF-8"?>
<imdn xmlns="urn:ietf:params:xml:ns:imdn">
<message-id>&lt;1&gt;&amp;</message-id>
<datetime>2026-11-21T12:00:00Z</datetime>
<recipient-uri>sip:bob@example.org</recipient-uri>
<original-recipient-uri>sip:b@example.org</original-recipient-uri>
<delivery-notification><status><failed/></status></delivery-notification>
</imdn>
`
	if got := n.Document(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
