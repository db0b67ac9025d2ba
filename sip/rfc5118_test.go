package sip

import (
	"testing"

	"silod/sip/internal/siptest"
)

// TestRFC5118 checks the addresses in the messages of RFC 5118.
func TestRFC5118(t *testing.T) {
	messages := siptest.Torture(t, "..")
	for _, tc := range []struct{ name, target, via, contact string }{
		{"ipv6-good", "[2001:db8::10]", "[2001:db8::9:1]", "[2001:db8::1]"},
		{"ipv6-bad", "", "[2001:db8::9:1]", "[2001:db8::1]"},
		{"port-ambiguous", "[2001:db8::10:5070]", "[2001:db8::9:1]", "[2001:db8::1]"},
		{"port-unambiguous", "[2001:db8::10]:5070", "[2001:db8::9:1]", "[2001:db8::1]"},
		{"via-received-param-with-delim", "[2001:db8::10]", "[2001:db8::9:1]", ""},
		{"via-received-param-no-delim", "[2001:db8::10]", "[2001:db8::9:1]", "[2001:db8::9:1]"},
		{"ipv6-in-sdp", "[2001:db8::10]", "[2001:db8::20]", "[2001:db8::20]"},
		{"mult-ip-in-header", "host.example.net", "[2001:db8::9:1]", ""},
		{"mult-ip-in-sdp", "[2001:db8::10]", "[2001:db8::9:1]", "[2001:db8::9:1]"},
		{"ipv4-mapped-ipv6", "example.com", "[::ffff:192.0.2.10]", "[::ffff:192.0.2.2]"},
		{"ipv6-bug-abnf-3-colons", "", "lab1.east.example.com", ""},
		{"ipv6-correct-abnf-2-colons", "[2001:db8::192.0.2.1]", "lab1.east.example.com", ""},
	} {
		m, err := Parse(messages[tc.name], false)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		var r Request
		_, err = r.Read(m)
		if rejected := err != nil || r.TargetErr != nil; rejected != (tc.target == "") {
			t.Errorf("%s: rejected %v: %v, %v", tc.name, rejected, err, r.TargetErr)
		}
		if r.Target.HostPort() != tc.target || r.Via.Host != tc.via {
			t.Errorf("%s: target %q, Via %q", tc.name, r.Target.HostPort(), r.Via.Host)
		}
		contact, _ := ParseNameAddr(m.Get("Contact"))
		if contact.URI.Host != tc.contact {
			t.Errorf("%s: contact %q", tc.name, contact.URI.Host)
		}
	}
}
