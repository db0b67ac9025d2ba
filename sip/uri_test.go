package sip

import (
	"fmt"
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

// TestURIEqualOfManyParameters holds the comparison of long lists to the rules of short ones.
func TestURIEqualOfManyParameters(t *testing.T) {
	long := "sip:bob@example.org"
	for i := range 32 {
		long += fmt.Sprintf(";p%d=%d", i, i)
	}
	for _, c := range []struct {
		a, b  string
		equal bool
	}{
		{"", "", true},
		{";X=1", ";x=1", true},
		{";x=a", ";x=A", true},
		{";x=%41", ";x=a", true},
		{";x=1", ";x=2", false},
		{";x=1", "", true},
		{";transport=tcp", "", false},
		{"", ";Transport=tcp", false},
		{";x=1;x=2", ";x=1", true}, // the first counts
		{";p1=1", ";p1=1", true},
	} {
		a, errA := ParseURI(long + c.a)
		b, errB := ParseURI(long + c.b)
		if errA != nil || errB != nil || a.Equal(b) != c.equal {
			t.Errorf("Equal(%q, %q) = %v; %v, %v", c.a, c.b, !c.equal, errA, errB)
		}
	}
}
