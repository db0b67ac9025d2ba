package sip

import (
	"errors"
	"strings"
	"testing"
)

func TestParseURI(t *testing.T) {
	for _, tc := range []struct{ in, out, user, host string }{
		{"sip:bob@example.org", "sip:bob@example.org", "bob", "example.org"},
		{"SIPS:Bob@EXAMPLE.org:5061;transport=TCP", "sips:Bob@example.org:5061;transport=TCP", "Bob", "example.org"},
		{"sip:example.org", "sip:example.org", "", "example.org"},
		{"sip:bob:secret@[2001:DB8::1]:5070", "sip:bob:secret@[2001:db8::1]:5070", "bob", "[2001:db8::1]"},
		// RFC 4475 section 3.1.1.9: semicolons and an escaped @ in the user part.
		{"sip:user;par=u%40example.net@example.com", "sip:user;par=u%40example.net@example.com", "user;par=u%40example.net", "example.com"},
		// RFC 4475 section 3.1.1.3
		{"sip:sips%3Auser%40example.com@example.net", "sip:sips%3Auser%40example.com@example.net", "sips%3Auser%40example.com", "example.net"},
		{"sip:bob@example.org?Subject=a@b", "sip:bob@example.org?Subject=a@b", "bob", "example.org"},
		{"sip:+1(555)@gw.example.org;user=phone;lr", "sip:+1(555)@gw.example.org;user=phone;lr", "+1(555)", "gw.example.org"},
		{"tel:+15551234", "tel:+15551234", "", ""},
		{"sip:x@abc_def.invalid;ob", "sip:x@abc_def.invalid;ob", "x", "abc_def.invalid"},
	} {
		u, err := ParseURI(tc.in)
		if err != nil {
			t.Errorf("%s: %v", tc.in, err)
			continue
		}
		if u.String() != tc.out || u.User != tc.user || u.Host != tc.host {
			t.Errorf("%s: got %s, user %q, host %q", tc.in, u, u.User, u.Host)
		}
	}
}

func TestParseURIRejects(t *testing.T) {
	for _, in := range []string{
		"", "bob", ":", "sip:", "sip:@example.org", "sip:bob@", "sip:bob@exa mple.org", "sip:bob@example.org:0",
		"sip:bob@example.org:70000", "sip:bob@example.org:x", "sip:bob@[::1", "sip:bob@[1.2.3.4]", "sip:bob%4@example.org",
		"sip:bob@example.org;;a", "sip:b\x00b@example.org", "sip:alice@example.org@evil.example", "sip:bob@[fe80::1%eth0]", "sip:bob@.", "sip:bob@example..org", "<sip:bob@example.org>", "1sip:bob@example.org", "sip:bob@ex,ample.org",
	} {
		if u, err := ParseURI(in); err == nil {
			t.Errorf("%q: accepted as %s", in, u)
		}
	}
}

func TestURIEqual(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		// The examples of RFC 3261 section 19.1.4.
		{"sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true},
		{"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5", true},
		{"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false},
		{"SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false},
		{"sip:bob@biloxi.com", "sips:bob@biloxi.com", false},
		// RFC 4475 section 3.1.1.4: NUL is a character like any other.
		{"sip:null-%00-null@example.com", "sip:null-%00%00-null@example.com", false},
		// RFC 5954 section 4: IPv6 addresses are compared as addresses.
		{"sip:bob@[2001:DB8::9:1]", "sip:bob@[2001:db8:0:0:0:0:9:1]", true},
		{"sip:bob@[2001:db8::9:1]", "sip:bob@[2001:db8::9]:1", false},
	} {
		a, errA := ParseURI(tc.a)
		b, errB := ParseURI(tc.b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if a.Equal(b) != tc.want || b.Equal(a) != tc.want {
			t.Errorf("%s and %s: want equal %v", tc.a, tc.b, tc.want)
		}
	}
}

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
		`sip:a@b?Route=x`, `<sip:a@b>,<sip:c@d>`, `<>`, `< sip:a@b>`, `<sip:a@b>;tag="x`,
		"<sip:a@b>;tag=x\x01", "<sip:a@b>;tag=x\r\n", "\"a\r\nb\" <sip:a@b>", "\"a\\\n\" <sip:a@b>",
	} {
		if a, err := ParseNameAddr(in); err == nil {
			t.Errorf("%q: accepted as %s", in, a)
		}
	}
}

// Contact headers as Linphone, Pidgin, JsSIP and baresip send them.
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
		t.Errorf("expires with spaces around the sign is %q", v)
	}
	if got := list[0].String(); !strings.Contains(got, `;methods="MESSAGE, SUBSCRIBE, NOTIFY"`) {
		t.Errorf("written as %s", got)
	}
	star, err := ParseList(" * ")
	if err != nil || len(star) != 1 || !star[0].Star {
		t.Errorf("*: %v, %v", star, err)
	}
}

func TestDomainsParse(t *testing.T) {
	d := NewDomains("Example.org", "127.0.0.1", "::1")
	for _, tc := range []struct {
		in, want string
		ours     bool
	}{
		{"sip:bob@example.org", "sip:bob@example.org", true},
		{"<sip:bob@EXAMPLE.ORG:5070;transport=tcp>", "sip:bob@example.org", true},
		{`"Bob" <sip:%62ob@example.org>`, "sip:bob@example.org", true},
		{"bob@example.org", "sip:bob@example.org", true},
		{"bob", "sip:bob@example.org", true},
		{"sip:bob@127.0.0.1:45678", "sip:bob@127.0.0.1", true},
		{"sip:bob@other.example:5070", "sip:bob@other.example:5070", false},
		{"sips:bob@other.example:5061", "sip:bob@other.example", false},
		{"sip:a%2fb%3A@example.org", "sip:a/b%3A@example.org", true},
	} {
		a, ours, err := d.Parse(tc.in)
		if err != nil || a.String() != tc.want || ours != tc.ours {
			t.Errorf("%s: got %s, ours %v, %v", tc.in, a, ours, err)
		}
	}
	for _, in := range []string{"sip:bob@[::1]", "sip:bob@[0:0:0:0:0:0:0:1]:5070", "bob@[::0001]", "<sip:bob@[0::1];transport=tcp>"} {
		if a, ours, err := d.Parse(in); err != nil || a.String() != "sip:bob@[::1]" || !ours {
			t.Errorf("%s: got %s, ours %v, %v", in, a, ours, err)
		}
	}
	for in, want := range map[string]string{
		"sip:bob@EXAMPLE.org.": "sip:bob@example.org", "sip:bob@[::ffff:127.0.0.1]": "sip:bob@127.0.0.1",
		"sip:bob@[2001:DB8:0::9]:5070": "sip:bob@[2001:db8::9]:5070",
	} {
		if a, _, err := d.Parse(in); err != nil || a.String() != want {
			t.Errorf("%s: got %s, %v", in, a, err)
		}
	}
	if a, ours, err := NewDomains("::1").Parse("bob"); err != nil || a.String() != "sip:bob@[::1]" || !ours {
		t.Errorf("bob of an IPv6 domain: %s, ours %v, %v", a, ours, err)
	}
	if !d.Has("[::1]") || !d.Has("[0:0:0:0:0:0:0:1]:5060") || d.Has("[::2]") {
		t.Error("IPv6 domain not recognized in all its forms")
	}
	if _, _, err := d.Parse("tel:+1555"); !errors.Is(err, ErrScheme) {
		t.Errorf("tel: %v", err)
	}
	for _, in := range []string{"", "<>", "sip:example.org", "bob@", "a b", "x@y@"} {
		if a, _, err := d.Parse(in); err == nil {
			t.Errorf("%q: accepted as %s", in, a)
		}
	}
}

func TestQuoteRemovesLineBreaks(t *testing.T) {
	if q := Quote("a\r\nX: y\x00\"\\"); q != `"a  X: y \"\\"` {
		t.Errorf("got %s", q)
	}
}

// FuzzParseList: addresses that were parsed are the same when they are written and parsed
// again.
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
				t.Fatalf("%q is written as %q, which is not read: %v", s, a, err)
			}
			if again.String() != a.String() {
				t.Fatalf("%q is written as %q, then as %q", s, a, again)
			}
		}
	})
}

// FuzzDomainsParse: an AoR is canonical, so it is the same when it is written and parsed
// again.
func FuzzDomainsParse(f *testing.F) {
	for _, s := range []string{"bob", "a@[::ffff:192.0.2.1].", "sip:a@h.:5060", "sip:b%6Fb@h:5070", "<sip:a@[::1]>", "sips:A@B", "a@b:1"} {
		f.Add(s)
	}
	d := NewDomains("example.org", "::1")
	f.Fuzz(func(t *testing.T, s string) {
		a, ours, err := d.Parse(s)
		if err != nil {
			return
		}
		again, ours2, err := d.Parse(a.String())
		if err != nil || again != a || ours2 != ours {
			t.Fatalf("%q: %s (%v), then %s (%v), %v", s, a, ours, again, ours2, err)
		}
	})
}
