package silo_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/silo"
	"silod/sip"
)

const prefix = "[Offline message - Sat Nov 21 12:00:00 2026] "

func TestDatePrefix(t *testing.T) {
	b := newBox(t, silo.Settings{AddDate: true})
	for _, tc := range []struct {
		name, body string
		fields     []string
		dated      bool
	}{
		{"plain text", "hello", nil, true},
		{"type in capitals", "hello", []string{"Content-Type: TEXT/Plain"}, true},
		{"UTF-8", "Grüße", []string{"Content-Type: text/plain; charset=UTF-8"}, true},
		{"quoted charset", "hello", []string{`Content-Type: text/plain;charset="utf-8"`}, true},
		{"Latin 1", "Gr\xfc\xdfe", []string{"Content-Type: text/plain;charset=iso-8859-1"}, true},
		{"Windows", "Gr\xfc\xdfe", []string{"Content-Type: text/plain;charset=windows-1252"}, true},
		{"UTF-16", "\xfe\xff\x00h", []string{"Content-Type: text/plain;charset=utf-16"}, false},
		{"UTF-7", "+AGg-", []string{"Content-Type: text/plain;charset=utf-7"}, false},
		{"compressed", "\x78\x9c", []string{"Content-Type: text/plain", "Content-Encoding: deflate"}, false},
		{"base64", "aGVsbG8=", []string{"Content-Type: text/plain", "Content-Transfer-Encoding: base64"}, false},
		{"8bit", "hello", []string{"Content-Type: text/plain", "Content-Transfer-Encoding: 8bit"}, true},
		{"HTML", "<p>hello", []string{"Content-Type: text/html"}, false},
		{"CPIM", "From: x\r\n\r\nContent-Type: text/plain\r\n\r\nhello", []string{"Content-Type: message/cpim"}, false},
		{"multipart", "--x\r\n", []string{"Content-Type: multipart/mixed;boundary=x"}, false},
		{"no type", "hello", []string{"Content-Type: "}, false},
		{"has a date", prefix + "hello", nil, false},
		{"has the date of a reminder", "[Reminder message - x] hello", nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := text(tc.body, tc.fields...)
			in.Owner.User = tc.name
			b.set(noon)
			b.put(in)
			want := tc.body
			if tc.dated {
				want = prefix + tc.body
			}
			for range 2 {
				if got := string(b.waiting(in.Owner)[0].Body); got != want {
					t.Errorf("body %q, want %q", got, want)
				}
				b.sleep(time.Hour)
			}
		})
	}
}

// The date has the zone and format of the configuration.
func TestDateFormatAndZone(t *testing.T) {
	rome := time.FixedZone("Rome", 3600)
	b := newBox(t, silo.Settings{AddDate: true, Zone: rome, Date: func(t time.Time) string { return t.Format("02.01.2006 15:04") }})
	b.put(text("ciao"))
	if got := string(b.waiting(bob)[0].Body); got != "[Offline message - 21.11.2026 13:00] ciao" {
		t.Errorf("body %q", got)
	}
}

// A safety copy is delivered unchanged, unless the owner was offline.
func TestSafetyCopyIsNotDated(t *testing.T) {
	b := newBox(t, silo.Settings{
		AddDate: true, AddContact: true,
		AddFields: func(silo.Values) []sip.Header { return []sip.Header{{Name: "X-Stored", Value: "yes"}} },
	})
	in := text("offline")
	in.SafetyCopy = true
	b.put(in)
	b.register(bob)
	in = text("online", "Content-Type: text/plain", "Subject: s")
	in.SafetyCopy = true
	b.put(in)
	items := b.waiting(bob)
	if got := bodies(items); !slices.Equal(got, []string{prefix + "offline", "online"}) {
		t.Errorf("got %q", got)
	}
	if !slices.Equal(items[1].Headers, in.Message.Headers) {
		t.Errorf("fields %q", items[1].Headers)
	}
	if items[0].Header("X-Silod-Passing") != "" {
		t.Error("an internal field is left")
	}
}

func TestFieldsAreAdded(t *testing.T) {
	expand := func(v silo.Values) []sip.Header {
		return []sip.Header{
			{Name: "X-For", Value: v("tu", "") + " of " + v("ru", "")},
			{Name: "X-From", Value: strings.Join([]string{v("fu", ""), v("fU", ""), v("fd", ""), v("fn", ""), v("ci", ""), v("hdr", "subject"), v("Ts", "")}, "|")},
			{Name: "x-theirs", Value: "ours"},
		}
	}
	b := newBox(t, silo.Settings{AddFields: expand, AddContact: true})
	b.put(text("x", "Content-Type: text/plain", "Subject: Hi", "X-Theirs: theirs"))
	b.sleep(time.Hour)
	want := []sip.Header{
		{Name: "Content-Type", Value: "text/plain"},
		{Name: "Subject", Value: "Hi"},
		{Name: "X-Theirs", Value: "theirs"},
		{Name: "Date", Value: "Sat, 21 Nov 2026 12:00:00 GMT"},
		{Name: "Contact", Value: "<sip:alice@example.org>;msilo=yes"},
		{Name: "X-For", Value: "sip:bob@example.org of sip:bob@example.org"},
		{Name: "X-From", Value: "sip:alice@example.org|alice|example.org|Alice|call-1@host|Hi|" + fmt.Sprint(noon.Unix())},
	}
	if got := b.waiting(bob)[0].Headers; !slices.Equal(got, want) {
		t.Errorf("fields\n%q, want\n%q", got, want)
	}
}

// extra_hdrs_avp: header fields in the text of a request are kept.
func TestFieldsAreKept(t *testing.T) {
	keep := ""
	b := newBox(t, silo.Settings{KeepFields: func(silo.Values) string { return keep }})
	for _, tc := range []struct {
		keep string
		want []string
	}{
		{"", nil},
		{"X-Keep: a", []string{"X-Keep: a"}},
		{"X-Keep: a\r\nX-More:b ; c\r\n", []string{"X-Keep: a", "X-More: b ; c"}},
		{"no field", nil},
		{"X-Empty: \r\n: x\r\nA B: c", nil},
		{"Subject: theirs stays", nil},
		{"Via: x\r\nv: x\r\nRoute: <sip:evil>\r\nContent-Length: 0\r\nc: text/html\r\nContent-Type: text/html\r\nX-Silod-Passing: yes\r\nX-Ok: 1", []string{"X-Ok: 1"}},
		{"X-Bad: a\x00b\r\nX-Tab: a\tb", []string{"X-Tab: a\tb"}},
	} {
		keep = tc.keep
		in := text("x", "Content-Type: text/plain", "Subject: mine", "Date: x")
		id := b.put(in)
		var got []string
		for _, h := range b.waiting(bob)[0].Headers[3:] {
			got = append(got, h.Name+": "+h.Value)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%q: kept %q", tc.keep, got)
		}
		done := make(chan bool)
		b.Remove(in, id, func(error) { close(done) })
		<-done
	}
}

// A sender cannot make a message look like a reminder or a safety copy.
func TestReceivedInternalFieldsAreRemoved(t *testing.T) {
	b := newBox(t, silo.Settings{AddDate: true})
	b.put(text("x", "Content-Type: text/plain", "X-Silod-Passing: yes", "X-Silod-Reminder: 2026-11-21T12:00:00Z"))
	it := b.waiting(bob)[0]
	if got := string(it.Body); got != prefix+"x" {
		t.Errorf("body %q", got)
	}
	if len(it.Headers) != 2 {
		t.Errorf("fields %q", it.Headers)
	}
}
