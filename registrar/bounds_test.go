package registrar

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"silod/sip"
)

// readable matches a Contact value of the grammar of RFC 3261 section 25.1, which any client
// can read: a SIP URI, and parameters whose values are tokens or quoted strings.
var readable = func() *regexp.Regexp {
	const (
		unreserved = `[A-Za-z0-9\-_.!~*'()]|%[0-9A-Fa-f]{2}`
		user       = `(?:` + unreserved + `|[&=+$,;?/])+(?::(?:` + unreserved + `|[&=+$,])*)?@`
		host       = `(?:[A-Za-z0-9\-_.]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?`
		param      = `(?:` + unreserved + `|[\[\]/:&+$])+`
		header     = `(?:\?(?:` + unreserved + `|[\[\]/?:+$=&])*)?`
		token      = `[A-Za-z0-9\-.!%*_+` + "`" + `'~]+`
		quoted     = `"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[^\x00-\x1f\x7f])*"`
	)
	return regexp.MustCompile(`^<sips?:(?:` + user + `)?` + host + `(?:;` + param + `(?:=` + param + `)?)*` + header + `>` +
		`(?:;` + token + `(?:=(?:` + token + `|` + quoted + `))?)*$`)
}()

func checkReadable(t *testing.T, value string) {
	t.Helper()
	if !utf8.ValidString(value) || !readable.MatchString(value) {
		t.Errorf("not every client can read %q", value)
	}
}

// The contacts that one device registers are listed in the answers to the others.
func TestContactsAreListedReadably(t *testing.T) {
	for contact, want := range map[string]string{
		`<sip:a@h>;x=<y>`:                             `<sip:a@h>;expires=60;x="<y>"`,
		`<sip:a@h>;x=`:                                `<sip:a@h>;expires=60;x=""`,
		`<sip:a@h>;x=[::1]`:                           `<sip:a@h>;expires=60;x="[::1]"`,
		`<sip:a@h>;x;y=1;z="a,\"b\""`:                 `<sip:a@h>;expires=60;x;y=1;z="a,\"b\""`,
		`<sip:a@h>;received=sip:1.2.3.4:5060`:         `<sip:a@h>;expires=60;received="sip:1.2.3.4:5060"`,
		"<sip:a@h>;x=\"\xff\x01\x00\"":                "<sip:a@h>;expires=60;x=\"\uFFFD  \"",
		"<sip:a@h>;x=\xff":                            "<sip:a@h>;expires=60;x=\"\uFFFD\"",
		"<sip:a@h>;+sip.instance=\"\x00<\xff>\"":      "<sip:a@h>;expires=60;+sip.instance=\" <\uFFFD>\"",
		`<sip:a@h>;+sip.instance=<urn:uuid:1>`:        `<sip:a@h>;expires=60;+sip.instance="<urn:uuid:1>"`,
		"<sip:j\u00f6rg@h>":                           `<sip:j%C3%B6rg@h>;expires=60`,
		"<sip:\xff@h>":                                `<sip:%FF@h>;expires=60`,
		`<sip:a@h;x=\^{|}#>`:                          `<sip:a@h;x=%5C%5E%7B%7C%7D%23>;expires=60`,
		`<sip:a@h;pn-prid=x==;y=1>`:                   `<sip:a@h;pn-prid=x%3D%3D;y=1>;expires=60`,
		`<sip:a@h;x=,;y=1>`:                           `<sip:a@h;x=%2C;y=1>;expires=60`,
		`<sip:a,b@h>`:                                 `<sip:a,b@h>;expires=60`,
		`<sip:a[b@h>`:                                 `<sip:a%5Bb@h>;expires=60`,
		`<sip:a:b:c@h>`:                               `<sip:a:b%3Ac@h>;expires=60`,
		`<sip:a@h;x=;%zz=%4>`:                         `<sip:a@h;x;%25zz=%254>;expires=60`,
		`<sip:a@[2001:DB8::1]:5060;q=1>`:              `<sip:a@[2001:db8::1]:5060;q=1>;expires=60`,
		`<sip:a@h?Route=%3Csip:x%3E&x="`:              "",
		`<sip:a@h?Route=%3Csip:x%3E&x=^>`:             `<sip:a@h?Route=%3Csip:x%3E&x=%5E>;expires=60`,
		`"A, <B>" <sip:a@h>;q=0.333;methods="X, \"Y"`: `<sip:a@h>;q=0.333;expires=60;methods="X, \"Y"`,
	} {
		l, _, now := newTable(Settings{})
		list, err := sip.ParseList(contact)
		if err != nil {
			if want != "" {
				t.Errorf("%s: %v", contact, err)
			}
			continue
		}
		res, err := carryOut(t, l, &Register{AoR: alice, Contacts: list, Expires: 60, Flow: func(sip.URI) (sip.Flow, *Error) { return sip.Flow{}, nil }})
		if err != nil {
			t.Errorf("%s: %v", contact, err)
			continue
		}
		if res.Bindings[0].Contact != list[0].URI.String() {
			t.Errorf("%s: requests would go to %s", contact, res.Bindings[0].Contact)
		}
		if got := res.Bindings[0].ContactValue(*now); got != want {
			t.Errorf("%s:\n got %s\nwant %s", contact, got, want)
		} else {
			checkReadable(t, got)
		}
	}
}

// The size of a binding, and of all bindings of an AoR, is limited. A binding that exists
// already can be refreshed and removed, whatever the limits are now.
func TestSizesAreLimited(t *testing.T) {
	l, _, now := newTable(Settings{})
	long := "<sip:a@h;x=" + strings.Repeat("x", maxContactSize-len("sip:a@h;x=")) + ">"
	for _, tc := range []struct {
		name string
		r    Register
		want string
	}{
		{"Contact", Register{CallID: "1"}, ""},
		{"Path", Register{CallID: "1", Path: []string{strings.Repeat("x", maxPathSize), "x"}}, "400 Path is too long, 4096 bytes are allowed"},
		{"Call-ID", Register{CallID: strings.Repeat("x", maxCallIDSize+1)}, "400 Call-ID is too long, 1024 bytes are allowed"},
		{"NUL", Register{CallID: "\x00"}, "400 Control character in Call-ID or Path"},
		{"NUL in Path", Register{CallID: "1", Path: []string{"\x00"}}, "400 Control character in Call-ID or Path"},
		{"User-Agent", Register{CallID: "1", UserAgent: strings.Repeat("ü", maxAgentSize)}, ""},
		{"Allow", Register{CallID: "1", Methods: strings.Repeat("X, ", maxMethodsSize)}, ""},
	} {
		list, err := sip.ParseList(long)
		if err != nil {
			t.Fatal(err)
		}
		*now = now.Add(time.Second)
		tc.r.AoR, tc.r.Contacts, tc.r.Expires, tc.r.CSeq = alice, list, 60, uint32(now.Unix())
		tc.r.Flow = func(sip.URI) (sip.Flow, *Error) { return sip.Flow{}, nil }
		res, err := carryOut(t, l, &tc.r)
		if err != nil && err.Error() != tc.want || err == nil && tc.want != "" {
			t.Errorf("%s: %v", tc.name, err)
		} else if err == nil && (len(res.Bindings[0].UserAgent) > maxAgentSize || len(res.Bindings[0].Methods) > maxMethodsSize) {
			t.Errorf("%s: %d bytes, %d bytes", tc.name, len(res.Bindings[0].UserAgent), len(res.Bindings[0].Methods))
		}
	}
	if _, err := register(t, l, "b", 1, 60, strings.Replace(long, "x>", "xx>", 1)); err == nil || err.Error() != "400 Contact is too long, 4096 bytes are allowed" {
		t.Errorf("a contact of 4097 bytes: %v", err)
	}

	l.Configure(Settings{MaxContacts: 1000})
	count := 1
	for ; ; count++ {
		if _, err := register(t, l, "c", uint32(count), 600, strings.Replace(long, "a@h", fmt.Sprintf("%04d@h", count), 1)[:4000]+">"); err != nil {
			if want := "403 Too many contacts, 1048576 bytes are allowed"; err.Error() != want {
				t.Errorf("%v, want %s", err, want)
			}
			break
		}
	}
	if count < 200 || count > 300 {
		t.Errorf("%d contacts", count)
	}

	l, _, _ = newTable(Settings{MaxContacts: 100})
	if _, err := register(t, l, "d", 1, 600, manyContacts(0, 100)); err != nil {
		t.Fatal(err)
	}
	if _, err := register(t, l, "e", 1, 600, "<sip:one@more>"); err == nil || err.Error() != "403 Too many contacts, 100 are allowed" {
		t.Errorf("another one: %v", err)
	}
	if _, err := register(t, l, "e", 2, 600, "<sip:one@more>, "+manyContacts(0, 1)+";expires=0"); err != nil {
		t.Errorf("one in place of another: %v", err)
	}
	l.Configure(Settings{MaxContacts: 2})
	for i, contacts := range []string{manyContacts(1, 1), manyContacts(2, 1) + ";expires=0"} {
		if _, err := register(t, l, "f", uint32(i), 600, contacts); err != nil {
			t.Errorf("%s: %v", contacts, err)
		}
	}
}

// manyContacts returns n contacts of some 600 bytes each, which all have to be compared by
// their parameters.
func manyContacts(first, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ",<sip:bob@h:9")
		for p := range 140 {
			fmt.Fprintf(&b, ";%c%c", 'a'+p%26, 'a'+p/26)
		}
		fmt.Fprintf(&b, ";zz=%d>", first+i)
	}
	return b.String()[1:]
}

// A REGISTER is compared with all bindings of the AoR in a time that grows with their number
// and size only: 0.1 s at most on an idle machine for 100 contacts. Without keys of the URIs
// each of them takes 4 s.
func TestWorkIsBounded(t *testing.T) {
	l, _, _ := newTable(Settings{MaxContacts: 1000})
	for i := range 10 {
		if _, err := register(t, l, "d", uint32(i), 600, manyContacts(i*100, 100)); err != nil {
			t.Fatal(err)
		}
	}
	all := manyContacts(900, 100)
	equal := strings.ReplaceAll(all, ";aa", ";AA") // no contact has the same text
	unequal := strings.ReplaceAll(all, ";zz=", ";zz=x")
	parameters := "<sip:bob@h:9" + strings.Repeat(";a", 31_000) + ">"
	for _, tc := range []struct{ name, contacts, want string }{
		{"the same", all, ""},
		{"equal ones", equal, ""},
		{"others", unequal, "403 Too many contacts, 1000 are allowed"},
		{"31,000 parameters", parameters, "400 Contact is too long, 4096 bytes are allowed"},
	} {
		list, err := sip.ParseList(tc.contacts)
		if err != nil {
			t.Fatal(err)
		}
		took := time.Hour
		for i := range 3 {
			start := time.Now()
			_, err = carryOut(t, l, &Register{
				AoR: alice, CallID: tc.name, CSeq: uint32(i), Expires: 600, Contacts: list, Flow: func(sip.URI) (sip.Flow, *Error) { return sip.Flow{}, nil },
			})
			took = min(took, time.Since(start))
		}
		if (err != nil || tc.want != "") && (err == nil || err.Error() != tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
		t.Logf("%s: %v", tc.name, took)
		if took > 10*time.Second {
			t.Errorf("%s took %v", tc.name, took)
		}
	}
}
