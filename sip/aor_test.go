package sip

import "testing"

// The spellings of one user have one AoR (RFC 3261 section 19.1.4), also those outside the
// grammar.
func TestAoRSpellings(t *testing.T) {
	d := NewDomains("example.org")
	d.Configure(DomainNames{Names: []string{"example.org", "b.example"}, Aliases: []string{"127.0.0.1", "sip.example.org"}})
	for _, tc := range []struct {
		aor, plain string
		spellings  []string
	}{
		{"sip:bob@example.org", "bob@example.org", []string{"sip:bob@example.org", "sip:%62ob@EXAMPLE.org.", "sips:Bob@127.0.0.1:5070", "sip:%42OB@sip.example.org", "BOB"}},
		{"sip:9901%231@example.org", "9901#1@example.org", []string{"sip:9901#1@example.org", "sip:9901%231@example.org", "9901#1"}},
		{"sip:j%C3%BCrgen@example.org", "jürgen@example.org", []string{"sip:jürgen@example.org", "sip:j%c3%bcrgen@example.org", "Jürgen"}},
		{"sip:%7B%7D%7C%5E@example.org", "{}|^@example.org", []string{"sip:{}|^@example.org", "sip:%7b}%7c^@example.org"}},
		{"sip:o'neil@example.org", "o'neil@example.org", []string{"sip:o%27neil@example.org", "o'neil"}},
		{"sip:+4917@example.org", "+4917@example.org", []string{"sip:%2B4917@example.org", "+4917"}},
		{"sip:hans%20maier@example.org", "hans maier@example.org", []string{"hans maier", "sip:Hans%20Maier@example.org", "hans maier@example.org"}},
		{"sip:a%40b%3A%25@example.org", "a%40b%3A%25@example.org", []string{"sip:a%40b%3a%25@example.org"}},
		{"sip:50%25@example.org", "50%25@example.org", []string{"50%", "sip:50%25@example.org"}},
		{"sip:x%0Ay%E2%80%AEz@example.org", "x%0Ay%E2%80%AEz@example.org", []string{"sip:x%0ay%E2%80%AEz@example.org"}},
		{"sip:%20a%FC@example.org", "%20a%FC@example.org", []string{"sip:%20a%fc@example.org", "sip:%20a\xfc@example.org"}},
		{"sip:bob@b.example", "bob@b.example", []string{"Bob@B.example"}},
	} {
		for _, s := range append(tc.spellings, tc.aor, tc.plain) {
			a, ours, err := d.Parse(s)
			if err != nil || !ours || a.String() != tc.aor || a.Plain() != tc.plain {
				t.Errorf("%q: %s, plain %q, ours %v, %v; want %s, %q", s, a, a.Plain(), ours, err, tc.aor, tc.plain)
			}
		}
	}
	if a, ours, err := d.Parse("sip:Bob@elsewhere.example"); err != nil || ours || a.String() != "sip:Bob@elsewhere.example" {
		t.Errorf("the case of a user of another domain: %s, ours %v, %v", a, ours, err)
	}
	d.Configure(DomainNames{Names: []string{"example.org"}, CaseSensitive: true})
	if a, _, err := d.Parse("%42ob"); err != nil || a.String() != "sip:Bob@example.org" {
		t.Errorf("case sensitive: %s, %v", a, err)
	}
}

func TestDomainsRow(t *testing.T) {
	d := NewDomains()
	d.Configure(DomainNames{Names: []string{"example.org"}, Aliases: []string{"127.0.0.1", "::1"}})
	for _, tc := range []struct{ user, domain, want string }{
		{"%2B4917", "example.org", "sip:+4917@example.org"},
		{"o%27neil", "EXAMPLE.org", "sip:o'neil@example.org"},
		{"Alice", "", "sip:alice@example.org"},
		{"jürgen", "127.0.0.1", "sip:j%C3%BCrgen@example.org"},
		{"50%", "::1", "sip:50%25@example.org"},
		{"a@b", "example.org", "sip:a%40b@example.org"},
		{"Bob", "other.example:5070", "sip:Bob@other.example:5070"},
	} {
		if a := d.Row(tc.user, tc.domain); a.String() != tc.want {
			t.Errorf("%s, %s: %s, want %s", tc.user, tc.domain, a, tc.want)
		}
	}
}

// Names of a usual form are canonical as they are.
func TestCanonicalUserAllocates(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { canonicalUser("+4917.alice-bob_c", true) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAoRLower(t *testing.T) {
	for user, want := range map[string]AoR{
		"chat-1":          {"chat-1", "chat-1"},
		"Chat-1":          {"chat-1", "Chat-1"},
		"J%C3%BCRGEN%20X": {"j%C3%BCrgen%20x", "JüRGEN X"},
		"raum-k%C3%B6ln":  {"raum-k%C3%B6ln", "raum-köln"},
		"%7E%25A%FC":      {"%7E%25a%FC", "~%A\xfc"},
		"a%4":             {"a%4", "a%4"}, // not canonical: another program's row
		"Ä":               {"Ä", "Ä"},
	} {
		a := AoR{User: user, Domain: "EXAMPLE.org"}
		if got := (AoR{a.Lower().User, a.DecodedUser()}); got != want || a.Lower().Domain != "example.org" {
			t.Errorf("%s: in lower case %q, decoded %q", user, got.User, got.Domain)
		}
	}
}
