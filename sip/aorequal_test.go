package sip

import (
	"fmt"
	"strings"
	"testing"
)

// URIs that RFC 3261 section 19.1.4 lists as equal are those of one user. Others may be: an AoR
// has no parameters, and users of our domains have no case.
func TestEqualURIsHaveOneAoR(t *testing.T) {
	d := NewDomains("atlanta.com", "biloxi.com", "chicago.com")
	for _, tc := range []struct {
		a, b           string
		equal, oneUser bool
	}{
		{"sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp", true, true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true, true},
		{"sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on", true, true},
		{"sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com", "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com", true, true},
		{"sip:alice@atlanta.com?subject=project%20x&priority=urgent", "sip:alice@atlanta.com?priority=urgent&subject=project%20x", true, true},
		{"SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false, true},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false, true},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false, true},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", false, true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", false, true},
		{"sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false, false},
		{"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false, true},
		// Ours: what phones send outside the grammar.
		{"sip:9901#1@biloxi.com", "sip:9901%231@biloxi.com", true, true},
		{"sip:jürgen@biloxi.com", "sip:j%c3%bcrgen@biloxi.com", true, true},
		{"sip:j\xfcrgen@biloxi.com", "sip:j%FCrgen@biloxi.com", true, true},
		{"sip:j\xfcrgen@biloxi.com", "sip:j%C3%BCrgen@biloxi.com", false, false}, // of another character set
		{"sip:{}|^[]\\`@biloxi.com", "sip:%7b%7d%7c%5e%5b%5d%5c%60@biloxi.com", true, true},
		{"sip:o'neil@biloxi.com", "sip:o%27neil@biloxi.com", true, true},
		{"sip:a%40biloxi.com@chicago.com", "sip:a@biloxi.com", false, false},
		{"sip:a%3Ab@biloxi.com", "sip:a:b@biloxi.com", false, false},
		{"sip:a%2523@biloxi.com", "sip:a%23@biloxi.com", false, false}, // decoded once
		{"sip:a%00@biloxi.com", "sip:a@biloxi.com", false, false},
	} {
		a, b := parse(t, tc.a), parse(t, tc.b)
		if a.Equal(b) != tc.equal {
			t.Errorf("%s, %s: equal %v", tc.a, tc.b, !tc.equal)
		}
		x, _ := d.AoR(a)
		y, _ := d.AoR(b)
		if (x == y) != tc.oneUser {
			t.Errorf("%s, %s: %s, %s", tc.a, tc.b, x, y)
		}
	}
}

// FuzzAoR checks that the AoRs of two URIs are equal if the URIs are, and that every way to write
// an AoR leads back to it.
func FuzzAoR(f *testing.F) {
	for _, s := range [][2]string{
		{"sip:%61lice@example.org;transport=TCP", "sip:alice@EXAMPLE.org;Transport=tcp"},
		{"sip:9901#1@example.org", "sip:9901%231@example.org"},
		{"sip:j\xfcrgen@example.org", "sip:j%fcrgen@example.org."},
		{"sip:jürgen@127.0.0.1", "sip:J%C3%BCrgen@elsewhere.example:5070"},
		{"sip:a%40b@example.org", "sips:a;b?c@[::1]:5061"},
		{"sip:a:b@h?x=1&y=2", "sip:a:b@h?y=2&x=1"},
		{"im:bob@example.org", "tel:+1"},
		{"sip:%09@example.org", "sip:%20@b.example"},
	} {
		f.Add(s[0], s[1])
	}
	folding, exact := NewDomains(), NewDomains()
	folding.Configure(DomainNames{Names: []string{"example.org", "b.example"}, Aliases: []string{"127.0.0.1", "::1"}})
	exact.Configure(DomainNames{Names: []string{"example.org", "b.example"}, Aliases: []string{"127.0.0.1", "::1"}, CaseSensitive: true})
	f.Fuzz(func(t *testing.T, a, b string) {
		u, errA := ParseURI(a)
		v, errB := ParseURI(b)
		for _, d := range []Domains{folding, exact} {
			if errA == nil && errB == nil && u.Equal(v) {
				x, _ := d.AoR(u)
				y, _ := d.AoR(v)
				if x != y || u.AoR() != v.AoR() {
					t.Errorf("%s and %s are equal, their AoRs are %s and %s", u, v, x, y)
				}
			}
			if errA == nil {
				checkAoR(t, d, u)
			}
		}
		if errA == nil {
			if w, err := ParseURI(u.Strict()); err != nil || !u.Equal(w) {
				t.Errorf("%s is not %s: %v", u, u.Strict(), err)
			}
		}
	})
}

// checkAoR checks that all spellings of the AoR of a URI are that AoR.
func checkAoR(t *testing.T, d Domains, u URI) {
	t.Helper()
	a, ours := d.AoR(u)
	if a.User == "" {
		return
	}
	escaped := u
	escaped.User = everyEscape(u.User)
	spellings := []string{a.String(), a.String()[len("sip:"):], "<" + a.String() + ">;tag=1"}
	if ours {
		spellings = append(spellings, a.Plain())
	}
	if u.IsSIP() {
		spellings = append(spellings, escaped.String())
		if row := d.Row(u.User, a.Domain); row != a {
			t.Errorf("a row of %q is %s, not %s", u.User, row, a)
		}
	}
	blank := strings.TrimSpace(Unescape(a.User)) == ""
	for _, s := range spellings {
		if b, _, err := d.Parse(s); blank != (err != nil) || !blank && b != a {
			t.Errorf("%q, a spelling of %s, is %s: %v", s, a, b, err)
		}
	}
	if strict := a.String(); strings.ContainsFunc(strict, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"#<>\\^`{|}", r) }) {
		t.Errorf("%s is no URI of RFC 3261", strict)
	}
}

// everyEscape returns a user part in which every character is escaped.
func everyEscape(user string) string {
	var b strings.Builder
	for _, c := range []byte(Unescape(user)) {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

func BenchmarkAoR(b *testing.B) {
	d := NewDomains()
	d.Configure(DomainNames{Names: []string{"example.org"}, Aliases: []string{"127.0.0.1"}})
	for _, host := range []string{"example.org", "127.0.0.1"} {
		u := URI{Scheme: "sip", User: "alice.b-c_1", Host: host}
		b.Run(host, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d.AoR(u)
			}
		})
	}
}

// The AoR of a name in its usual form is found without an allocation.
func TestAoRAllocates(t *testing.T) {
	d := NewDomains()
	d.Configure(DomainNames{Names: []string{"example.org"}, Aliases: []string{"127.0.0.1"}})
	for _, host := range []string{"example.org", "127.0.0.1"} {
		u := URI{Scheme: "sip", User: "alice.b-c_1", Host: host}
		if n := testing.AllocsPerRun(100, func() { d.AoR(u) }); n != 0 {
			t.Errorf("%s: %v allocations", host, n)
		}
	}
}
