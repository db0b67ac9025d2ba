package sip

import (
	"errors"
	"testing"
)

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
	for _, in := range []string{"", "<>", "sip:example.org", "bob@", "x@y@"} {
		if a, _, err := d.Parse(in); err == nil {
			t.Errorf("%q: accepted as %s", in, a)
		}
	}
}

// FuzzDomainsParse checks that an AoR does not change when it is written and parsed again.
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
