package sip

import (
	"slices"
	"testing"
)

func TestDomainsList(t *testing.T) {
	var d Domains
	if list := d.List(); len(list) != 0 {
		t.Errorf("the zero Domains: %v", list)
	}
	d = NewDomains()
	d.Configure(DomainNames{Names: []string{"example.org", "b.example", "a.example"}, Aliases: []string{"sip.example.org", "127.0.0.1"}})
	want := []DomainName{
		{"example.org", "example.org"},
		{"127.0.0.1", "example.org"},
		{"sip.example.org", "example.org"},
		{"a.example", "a.example"},
		{"b.example", "b.example"},
	}
	if list := d.List(); !slices.Equal(list, want) {
		t.Errorf("got %v, want %v", list, want)
	}
}

// A name that is only a domain, or blank, is that of no user.
func TestParseNamesNoUser(t *testing.T) {
	d := NewDomains("example.org", "127.0.0.1")
	for _, s := range []string{
		"", " \t", "@", "sip:", "sips:", "sip:@", "sip:@example.org", "@example.org", "sip:example.org", "<sip:example.org>", "<>",
		"example.org", "EXAMPLE.org.", "127.0.0.1", "127.0.0.1:5060", "%20", "sip:%20%09@example.org", "sip: @example.org", "tel:+4917",
	} {
		if a, _, err := d.Parse(s); err == nil {
			t.Errorf("%q is %s", s, a)
		}
	}
	if a, _, err := d.Parse("example.com"); err != nil || a.String() != "sip:example.com@example.org" {
		t.Errorf("a user with a dot is %s, %v", a, err)
	}
}
