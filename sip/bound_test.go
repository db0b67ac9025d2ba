//go:build linux && !race

package sip

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLinearTime checks that the time to read a message or an address does not grow faster
// than its length: a sender chooses both. Each input is one element repeated. Eight times as
// many may take up to 24 times the processor time, because of caches; in one of four attempts,
// because others use them too.
func TestLinearTime(t *testing.T) {
	const size = 16 << 10
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	parse := func(before, after string) func(string) {
		return func(s string) {
			raw := []byte("MESSAGE sip:b@b SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nTo: <sip:b@b>\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\n" + before + s + after + "\r\n\r\n")
			var f Framer
			f.Limit = 1 << 20
			_, _, _ = f.Next(raw)
			m, err := Parse(raw, false)
			if err != nil {
				return
			}
			r := new(Request)
			_, _ = r.Read(m)
			_ = r.FromValue()
			_ = r.OptionTags("Supported")
			_, _ = r.MaxForwards()
			_ = string(m.AppendTo(nil))
		}
	}
	list := func(s string) { _, _ = ParseList(s) }
	uri := func(before string) func(string) {
		return func(s string) {
			if u, err := ParseURI(before + s); err == nil {
				_ = u.Equal(u)
				_, _ = NewDomains("b").AoR(u)
				_ = u.Bare()
				_ = canonicalUser(u.User, false)
			}
			_ = mendAddress(before + s)
		}
	}
	for _, c := range []struct {
		name, element string
		read          func(string)
	}{
		{"header fields", "a:b\r\n", parse("From: <sip:a@a>\r\n", "X: y")},
		{"Vias", "v:SIP/2.0/UDP a\r\n", parse("From: <sip:a@a>\r\n", "X: y")},
		{"Via list", "SIP/2.0/UDP a,", parse("From: <sip:a@a>\r\nVia: ", "SIP/2.0/UDP a")},
		{"Via parameters", ";a=b", parse("From: <sip:a@a>\r\nVia: SIP/2.0/UDP a", "")},
		{"folds", "\r\n x", parse("From: <sip:a@a>\r\nSubject: x", "")},
		{"commas", ",", parse("From: <sip:a@a>\r\nRoute: ", "")},
		{"option tags", "a,", parse("From: <sip:a@a>\r\nSupported: ", "")},
		{"From parameters", ";a", parse("From: <sip:a@a>", "")},
		{"From quotes", `\"`, parse(`From: "`, `" <sip:a@a>`)},
		{"From words", "a ", parse("From: ", "<sip:a@a>")},
		{"From commas", "a, ", parse("From: ", "<sip:a@a>")},
		{"From brackets", "<", parse("From: ", "")},
		{"From semicolons", ";", parse("From: <sip:a@a", ">")},
		{"From digits", "1", parse("From: <sip:a@a:", ">")},
		{"Max-Forwards digits", "1", parse("From: <sip:a@a>\r\nMax-Forwards: ", "")},
		{"contacts", "a:b,", list},
		{"contacts in brackets", "<a:b>,", list},
		{"contacts with parameters", "<a:b>;a=b,", list},
		{"contacts with names", `"a" <a:b>,`, list},
		{"contacts without an end", "<a:b>;", list},
		{"quotes", `"`, list},
		{"brackets", "<", list},
		{"spaces", " ", list},
		{"stars", "* ", list},
		{"URI parameters", ";a", uri("sip:a@b")},
		{"different URI parameters", "", nil},
		{"escapes", "%41", uri("sip:")},
		{"ats", "a@", uri("sip:")},
		{"URI headers", "?a", uri("sip:a@b")},
		{"opaque parameters", ";a=b", uri("tel:1")},
		{"opaque ats", "@", uri("im:a")},
		{"colons", ":", uri("sip:")},
	} {
		took := func(n int) time.Duration {
			s, read := strings.Repeat(c.element, n/max(len(c.element), 1)), c.read
			if read == nil {
				var b strings.Builder
				for i := 0; b.Len() < n; i++ {
					fmt.Fprintf(&b, ";p%d=%d", i, i)
				}
				s, read = b.String(), uri("sip:a@b")
			}
			best := time.Hour
			for range 5 {
				runtime.GC()
				start := threadTime(t)
				read(s)
				best = min(best, threadTime(t)-start)
			}
			return best
		}
		for try := 1; ; try++ {
			small, large := took(size), took(8*size)
			if large <= 24*small || large < 5*time.Millisecond {
				break
			}
			if try == 4 {
				t.Errorf("%s: %d bytes take %v, %d take %v", c.name, size, small, 8*size, large)
				break
			}
		}
	}
}

// threadTime returns the processor time of the thread.
func threadTime(t *testing.T) time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.Nano())
}
