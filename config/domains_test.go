package config

import (
	"slices"
	"testing"

	"silod/sip"
)

// The names of the server belong to one main domain.
func TestDomainNames(t *testing.T) {
	_, host := MachineAddresses()
	for _, tc := range []struct {
		name, text, main string
		aliases, domains []string // some of them
		foreign          string
	}{
		{"the defaults", "", "127.0.0.1", []string{"127.0.0.1:5060", "localhost"}, nil, "example.org"},
		{"a domain", "sip.domains = ['Example.org', 'b.example']", "example.org", []string{"127.0.0.1"}, []string{"b.example"}, "localhost"},
		{"an alias", "sip.domains = ['example.org']\nsip.domain_aliases = ['A.example']", "example.org", []string{"a.example."}, nil, "b.example"},
		{"an alias of the default", "sip.domain_aliases = ['a.example']", "127.0.0.1", []string{"a.example"}, nil, "b.example"},
		{"advertised", "sip.advertise = 'A.example:5070'", "a.example", []string{"127.0.0.1", "localhost"}, nil, "b.example"},
		{"an advertised IPv6 address", "sip.advertise = '2001:DB8::1'", "[2001:db8::1]", []string{"127.0.0.1"}, nil, "b.example"},
		{"advertised with a domain", "sip.advertise = '203.0.113.5:5070'\nsip.domains = ['example.org']", "example.org", []string{"203.0.113.5", "127.0.0.1"}, nil, "203.0.113.6"},
		{"a listed address", "sip.domains = ['example.org', '127.0.0.1', 'b.example']", "example.org", []string{"127.0.0.1"}, []string{"b.example"}, "c.example"},
		{"an address first", "sip.domains = ['127.0.0.1', 'b.example']", "127.0.0.1", nil, []string{"b.example"}, "localhost"},
		{"two listeners", "sip.listen = ['udp:127.0.0.1', 'tcp:127.0.0.2', 'udp:[::1]']", "127.0.0.1", []string{"127.0.0.2", "[::1]"}, nil, "127.0.0.3"},
		{
			"all addresses", "sip.listen = ['udp:0.0.0.0']\nauth.mode = 'digest'\nsip.domains = ['example.org']", "example.org",
			[]string{"127.0.0.1", host},
			nil, "192.0.2.77",
		},
	} {
		c := mustParse(t, tc.text)
		d := c.LocalDomains()
		at := func(host string) (sip.AoR, bool) {
			u, err := sip.ParseURI("sip:bob@" + host)
			if err != nil {
				t.Fatal(err)
			}
			return d.AoR(u)
		}
		for _, host := range append(tc.aliases, tc.main) {
			if a, ours := at(host); !ours || a.Domain != tc.main {
				t.Errorf("%s: bob at %s is %s", tc.name, host, a)
			}
		}
		for _, host := range tc.domains {
			if a, ours := at(host); !ours || a.Domain != host {
				t.Errorf("%s: bob at %s is %s", tc.name, host, a)
			}
		}
		if a, ours := at(tc.foreign); ours {
			t.Errorf("%s: %s is one of our users", tc.name, a)
		}
		if d.Default() != tc.main {
			t.Errorf("%s: the main domain is %s", tc.name, d.Default())
		}
	}
}

func TestDomainProblems(t *testing.T) {
	const text = "[sip]\ndomains = ['example.org', '::1']\ndomain_aliases = ['a.example', 'EXAMPLE.org.', '[0::1]']\n"
	_, err := Parse("t.toml", []byte(text), testDirs)
	want := `t.toml:3: sip.domain_aliases: "EXAMPLE.org." is in sip.domains too: it has users of its own, or is another name of "example.org"
t.toml:3: sip.domain_aliases: "[0::1]" is in sip.domains too: it has users of its own, or is another name of "example.org"`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	c := mustParse(t, "[sip]\nadvertise = 'sip.example.org'\ndomains = ['example.org', 'SIP.example.org', '127.0.0.1', 'b.example']\n")
	var got []string
	for _, n := range c.Notes() {
		got = append(got, n.String())
	}
	if want := []string{
		`line 3: sip.domains: "SIP.example.org" is an address of silod itself: its users are those of "example.org"`,
		`line 3: sip.domains: "127.0.0.1" is an address of silod itself: its users are those of "example.org"`,
	}; !slices.Equal(got, want) {
		t.Errorf("notes %q", got)
	}
	for text, want := range map[string]string{
		"": `"127.0.0.1" is an address of silod itself: its users are those of "example.org", and their passwords that are ` +
			`stored as hashes are to be set again (siloctl users passwd)`,
		"auth.realm = 'silod'\n": `"127.0.0.1" is an address of silod itself: its users are those of "example.org"`,
	} {
		c := mustParse(t, text+"sip.domains = ['example.org', '127.0.0.1']\nauth.mode = 'digest'\n")
		if notes := c.Notes(); len(notes) != 1 || notes[0].Text != want {
			t.Errorf("%snotes %v, want %s", text, notes, want)
		}
	}
}
