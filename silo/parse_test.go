package silo

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/im"
	"silod/sip"
)

func crlf(lines ...string) string { return strings.Join(lines, "\r\n") }

// A CPIM message is read if its headers are, and if they end within maxCPIM.
func TestReadCPIM(t *testing.T) {
	const plain = "From: <sip:alice@example.org>\r\n\r\nContent-Type: text/plain\r\n\r\nhi"
	for _, tc := range []struct {
		name, contentType, encoding, body string
		ok                                bool
	}{
		{"plain", "Message/CPIM;charset=utf-8", "", plain, true},
		{"the content's fields have no end", "message/cpim", "identity", "\r\nContent-Type: text/plain", true},
		{"another type", "text/plain", "", plain, false},
		{"compressed", "message/cpim", "deflate", plain, false},
		{"no end", "message/cpim", "", "From: a\r\nTo: b", false},
		{"no header", "message/cpim", "", "From: a\r\nnonsense\r\n\r\n", false},
		{"space in a name", "message/cpim", "", "Fr om: a\r\n\r\n", false},
		{"empty", "message/cpim", "", "", false},
		{"too long", "message/cpim", "", strings.Repeat("A: b\r\n", 5000) + "\r\n", false},
	} {
		m := &im.Message{Body: []byte(tc.body), Headers: []sip.Header{{Name: "Content-Type", Value: tc.contentType}, {Name: "Content-Encoding", Value: tc.encoding}}}
		if c, ok := readCPIM(m); ok != tc.ok || ok && c.ContentType() != "text/plain" {
			t.Errorf("%s: %+v, %v", tc.name, c, ok)
		}
	}
}

// Whatever a sender writes, a notification is one message with one XML document, and
// its addresses are those of recipient and sender.
func FuzzCPIM(f *testing.F) {
	f.Add([]byte(crlf("From: <a>", "To: \"B\" <b>", "NS: imdn <urn:ietf:params:imdn>", "imdn.Message-ID: <1>&", "imdn.Disposition-Notification: processing", "", "Content-Type: text/plain", "", "x")))
	f.Add([]byte("NS: <urn:ietf:params:imdn>\nMessage-ID: ]]>\x00\xff\nDisposition-Notification:;x processing\n\n"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, ok := parseCPIM(body)
		if !ok {
			return
		}
		m := &Message{ID: 1, Owner: sip.AoR{User: "bob", Domain: "example.org"}, Stored: time.Unix(1e9, 0)}
		m.From = "<sip:alice@example.org>;tag=1"
		note := dispositionStored.notification(c, m, time.Unix(1e9, 0))
		for _, v := range []string{note.From, note.To, note.CallID} {
			if strings.ContainsAny(v, "\r\n\x00") {
				t.Errorf("header value with a line end: %q", v)
			}
		}
		if again, ok := parseCPIM(note.Body); !ok && len(note.Body) < maxCPIM || ok && (again.ContentType() != "message/imdn+xml" || again.IMDN("Disposition-Notification") != "") {
			t.Errorf("parsed as %+v:\n%q", again, note.Body)
		}
		_, doc, _ := bytes.Cut(note.Body, []byte("<?xml"))
		for d := xml.NewDecoder(strings.NewReader("<?xml" + string(doc))); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("not XML: %v\n%q", err, doc)
			}
		}
	})
}

func FuzzContentType(f *testing.F) {
	for _, s := range []string{"text/plain", "text/plain;charset=utf-8", `TEXT/Plain ; x="a;b" ; CharSet="UTF-8"`, ";", "=;=", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m := &im.Message{Headers: []sip.Header{{Name: "Content-Type", Value: s}}, Body: []byte("x")}
		if takesDate(m) && im.MediaType(s) != "text/plain" {
			t.Errorf("%q takes a date", s)
		}
	})
}

// No text yields a field with a line end, or one that the sender must not set.
func FuzzParseFields(f *testing.F) {
	for _, s := range []string{"X-A: b", "X-A: b\r\nRoute: x\r\n", "X-A : b\nX-B:\n:x", "Content-Type: x\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, h := range parseFields(s) {
			if !sip.IsToken(h.Name) || strings.ContainsAny(h.Value, "\r\n\x00") || h.Value == "" || reserved[strings.ToLower(h.Name)] || isInternal(h) {
				t.Errorf("%q yields %q", s, h)
			}
		}
	})
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"20270101090000", "2027-01-01T09:00:00Z", "2027-01-01T09:00:00+02:00", "", "99999999999999", "00000000000000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := ParseTime(s, time.UTC)
		if err != nil {
			return
		}
		again, err := ParseTime(at.Format(time.RFC3339Nano), time.UTC)
		if err != nil || !again.Equal(at) {
			t.Errorf("%q is %v, which is parsed as %v, %v", s, at, again, err)
		}
	})
}

// addMissing and addField do not change their arguments, which may be shared.
func TestFieldsAreNotShared(t *testing.T) {
	base := make([]sip.Header, 1, 10)
	base[0] = sip.Header{Name: "A", Value: "1"}
	one := addMissing(base, []sip.Header{{Name: "B", Value: "1"}})
	two := addField(base, "C", "1")
	if one[1].Name != "B" || two[1].Name != "C" || len(base) != 1 || !slices.Equal(addMissing(one, base), one) {
		t.Errorf("%q, %q", one, two)
	}
}
