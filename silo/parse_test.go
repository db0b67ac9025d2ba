package silo

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/im"
	"silod/sip"
)

func crlf(lines ...string) string { return strings.Join(lines, "\r\n") }

func TestParseCPIM(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		want       cpim
		ok         bool
	}{
		{
			"as Linphone writes it", crlf(
				"From: <sip:alice@example.org;gr=urn:uuid:1>", "To: <sip:bob@example.org>", "DateTime: 2026-11-21T12:00:00Z",
				"NS: imdn <urn:ietf:params:imdn>", "imdn.Message-ID: b8x", "imdn.Disposition-Notification: positive-delivery, negative-delivery, display",
				"", "Content-Type: text/plain; charset=UTF-8", "Content-Length: 2", "", "hi"),
			cpim{
				from: "<sip:alice@example.org;gr=urn:uuid:1>", to: "<sip:bob@example.org>", date: "2026-11-21T12:00:00Z", messageID: "b8x",
				wanted: []string{"positive-delivery", "negative-delivery", "display"}, content: "text/plain",
			},
			true,
		},
		{
			"another prefix", crlf("NS: dn <urn:ietf:params:imdn>", "dn.Message-ID: 1", "imdn.Message-ID: 2", "dn.Disposition-Notification: processing", "", "content-TYPE:Text/HTML", "", ""),
			cpim{messageID: "1", wanted: []string{"processing"}, content: "text/html"},
			true,
		},
		{"default namespace", crlf("NS: <urn:ietf:params:imdn>", "Message-ID: 1", "", "", ""), cpim{messageID: "1"}, true},
		{"another namespace of that name", crlf("NS: imdn <urn:other>", "imdn.Message-ID: 1", "", ""), cpim{messageID: "1"}, true},
		{"language", crlf("Subject:;lang=fr bonjour", "From:;a=b <im:x>", "", ""), cpim{from: "<im:x>"}, true},
		{"first one counts", crlf("From: a", "From: b", "", ""), cpim{from: "a"}, true},
		{"LF alone", "From: a\nTo: b\n\nContent-Type: x/y\n\nbody", cpim{from: "a", to: "b", content: "x/y"}, true},
		{"no headers", "\r\nContent-Type: x/y\r\n\r\n", cpim{content: "x/y"}, true},
		{"no end", "From: a\r\nTo: b", cpim{}, false},
		{"no header", "From: a\r\nnonsense\r\n\r\n", cpim{}, false},
		{"space in a name", "Fr om: a\r\n\r\n", cpim{}, false},
		{"empty", "", cpim{}, false},
		{"too long", strings.Repeat("A: b\r\n", 5000) + "\r\n", cpim{}, false},
	} {
		got, ok := parseCPIM([]byte(tc.body))
		if ok != tc.ok || fmt.Sprint(got) != fmt.Sprint(tc.want) {
			t.Errorf("%s: %+v, %v, want %+v", tc.name, got, ok, tc.want)
		}
	}
}

// Whatever a stranger writes, a notification is one message with one document, and
// names nobody but those whom it is between.
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
		note := stored.notification(&c, m, time.Unix(1e9, 0))
		for _, v := range []string{note.From, note.To, note.CallID} {
			if strings.ContainsAny(v, "\r\n\x00") {
				t.Errorf("a header breaks: %q", v)
			}
		}
		if again, ok := parseCPIM(note.Body); !ok && len(note.Body) < cpimMost || ok && (again.content != "message/imdn+xml" || len(again.wanted) != 0) {
			t.Errorf("it reads as %+v:\n%q", again, note.Body)
		}
		_, doc, _ := bytes.Cut(note.Body, []byte("<?xml"))
		for d := xml.NewDecoder(strings.NewReader("<?xml" + string(doc))); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("no document: %v\n%q", err, doc)
			}
		}
	})
}

func FuzzContentType(f *testing.F) {
	for _, s := range []string{"text/plain", "text/plain;charset=utf-8", `TEXT/Plain ; x="a;b" ; CharSet="UTF-8"`, ";", "=;=", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		kind, params := mediaType(s)
		if kind != strings.TrimSpace(kind) || strings.Contains(kind, ";") {
			t.Errorf("type %q of %q", kind, s)
		}
		for name := range params {
			if strings.ContainsAny(name, ";=") {
				t.Errorf("parameter %q of %q", name, s)
			}
		}
		m := &im.Message{Headers: []sip.Header{{Name: "Content-Type", Value: s}}, Body: []byte("x")}
		if takesDate(m) && kind != "text/plain" {
			t.Errorf("%q takes a date", s)
		}
	})
}

// No text makes a field that breaks out of its line, or one that is not for a
// stranger to set.
func FuzzParseFields(f *testing.F) {
	for _, s := range []string{"X-A: b", "X-A: b\r\nRoute: x\r\n", "X-A : b\nX-B:\n:x", "Content-Type: x\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, h := range parseFields(s) {
			if !sip.IsToken(h.Name) || strings.ContainsAny(h.Value, "\r\n\x00") || h.Value == "" || notOurs[strings.ToLower(h.Name)] || isMark(h) {
				t.Errorf("%q gives %q", s, h)
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
			t.Errorf("%q is %v, which reads as %v, %v", s, at, again, err)
		}
	})
}

// Fields that are added never change the slice they are added to: it may be shared.
func TestFieldsAreNotShared(t *testing.T) {
	base := make([]sip.Header, 1, 10)
	base[0] = sip.Header{Name: "A", Value: "1"}
	one := addFields(base, []sip.Header{{Name: "B", Value: "1"}})
	two := mark(base, "C", "1")
	if one[1].Name != "B" || two[1].Name != "C" || len(base) != 1 || !slices.Equal(addFields(one, base), one) {
		t.Errorf("%q, %q", one, two)
	}
}
