package sip

import (
	"strings"
	"testing"
)

func TestParseNameAddr(t *testing.T) {
	for _, tc := range []struct{ in, name, uri, tag string }{
		{`"Alice \"A\" Smith" <sip:alice@a.example>;tag=1`, `Alice "A" Smith`, "sip:alice@a.example", "1"},
		{`Alice Smith <sip:alice@a.example> ; Tag = 1`, "Alice Smith", "sip:alice@a.example", "1"},
		{`sip:alice@a.example;tag=1`, "", "sip:alice@a.example", "1"},
		{`<sip:alice@a.example;lr>;epid=1234567890;tag=1`, "", "sip:alice@a.example;lr", "1"},
		{`caller<sip:caller@example.com>;tag=323`, "caller", "sip:caller@example.com", "323"},
		{`"Ünal, M." <sip:m@a.example>`, "Ünal, M.", "sip:m@a.example", ""},
		{`<tel:+1555>;tag=x`, "", "tel:+1555", "x"},
	} {
		a, err := ParseNameAddr(tc.in)
		if err != nil {
			t.Errorf("%s: %v", tc.in, err)
			continue
		}
		if a.Name != tc.name || a.URI.String() != tc.uri || a.Tag() != tc.tag {
			t.Errorf("%s: got name %q, URI %s, tag %q", tc.in, a.Name, a.URI, a.Tag())
		}
	}
}

func TestParseNameAddrRejects(t *testing.T) {
	for _, in := range []string{
		"", `"unterminated <sip:a@b>`, `"a" sip:a@b`, `<sip:a@b`, `Bell, Alexander <sip:a@b>`, `<sip:a@b> junk`,
		`sip:a@b?Route=x`, `<sip:a@b>,<sip:c@d>`, `<>`, `<sip:a b@c>`, `<sip:a@b>;tag="x`,
		"<sip:a@b>;tag=x\x01", "<sip:a@b>;tag=x\r\n", "\"a\r\nb\" <sip:a@b>", "\"a\\\n\" <sip:a@b>",
	} {
		if a, err := ParseNameAddr(in); err == nil {
			t.Errorf("%q: accepted as %s", in, a)
		}
	}
}

// TestParseContacts uses Contact headers of Linphone, Pidgin, JsSIP and baresip.
func TestParseContacts(t *testing.T) {
	list, err := ParseList(`<sip:a@192.0.2.2:5060;transport=udp>;methods="MESSAGE, SUBSCRIBE, NOTIFY" , ` +
		`<sip:r@xxx.invalid;transport=ws>;+sip.ice;reg-id=1;+sip.instance="<urn:uuid:1>";expires = 600,sip:b@h;q=0.5`)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 3 {
		t.Fatalf("got %d contacts", len(list))
	}
	for i, want := range []struct{ name, value string }{
		{"methods", "MESSAGE, SUBSCRIBE, NOTIFY"}, {"+sip.instance", "<urn:uuid:1>"}, {"q", "0.5"},
	} {
		if v, _ := list[i].Params.Get(want.name); v != want.value {
			t.Errorf("contact %d: %s is %q", i, want.name, v)
		}
	}
	if v, _ := list[1].Params.Get("expires"); v != "600" {
		t.Errorf("expires with spaces around the equals sign is %q", v)
	}
	if got := list[0].String(); !strings.Contains(got, `;methods="MESSAGE, SUBSCRIBE, NOTIFY"`) {
		t.Errorf("written as %s", got)
	}
	star, err := ParseList(" * ")
	if err != nil || len(star) != 1 || !star[0].Star {
		t.Errorf("*: %v, %v", star, err)
	}
}

func TestQuoteRemovesLineBreaks(t *testing.T) {
	if q := Quote("a\r\nX: y\x00\"\\"); q != `"a  X: y \"\\"` {
		t.Errorf("got %s", q)
	}
}

// FuzzParseList checks that addresses do not change when they are written and parsed again.
func FuzzParseList(f *testing.F) {
	for _, s := range []string{
		`"A" <sip:a@b>;tag=1`, `sip:a@b;q=0.1, <sip:c@d>`, "*", `<sip:user;par=u%40example.net@example.com>`,
		`<sip:r@x.invalid;transport=ws>;+sip.ice;reg-id=1;+sip.instance="<urn:uuid:1>"`, `Bell <tel:+1>;a="b,;\"c"`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := ParseList(s)
		if err != nil {
			return
		}
		for _, a := range list {
			if a.Star {
				continue
			}
			again, err := ParseNameAddr(a.String())
			if err != nil {
				t.Fatalf("%q is written as %q, which is not parsed: %v", s, a, err)
			}
			if again.String() != a.String() {
				t.Fatalf("%q is written as %q, then as %q", s, a, again)
			}
		}
	})
}
