package sip

import "testing"

// Keys compare URIs by the rules of RFC 3261 section 19.1.4, whose examples are the first ones.
func TestURIKey(t *testing.T) {
	for _, tc := range []struct {
		a, b  string
		equal bool
	}{
		{"sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;security=on", true},
		{"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5", true},
		{"sip:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false},
		{"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false},
		{"sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false},
		{"sip:a@h;y=1;x=1", "sip:a@h;x=1;y=1", true},
		{"sip:a@h;x=%41", "sip:a@h;X=a", true},
		{"sip:a@h;%78=1", "sip:a@h;x=2", false},
		{"sip:a@h;x=1;z=1", "sip:a@h;y=2;z=1", true},
		{"sip:a@h;a=1;z=1", "sip:a@h;b=2;z=2", false},
		{"sip:a@h;x=1;x=2", "sip:a@h;x=1", true}, // the first counts
		{"sip:a:b@h", "sip:a@h", false},
		{"sip:a%00@h", "sip:a:%00@h", false},
		{"sip:a@h?x=1", "sip:a@h", false},
		{"sip:a@h?x=%41", "sip:a@h?x=A", true},
		{"sips:a@h", "sip:a@h", false},
		{"sip:a@[2001:DB8:0::1]", "sip:a@[2001:db8::1]", true},
		{"tel:1", "tel:2", false},
	} {
		a, b := parse(t, tc.a), parse(t, tc.b)
		if a.Key().Equal(b.Key()) != tc.equal || b.Key().Equal(a.Key()) != tc.equal {
			t.Errorf("%s, %s: want %v", tc.a, tc.b, tc.equal)
		}
		if tc.equal && a.CommonKey() != b.CommonKey() {
			t.Errorf("%s, %s: different common keys", tc.a, tc.b)
		}
		for _, u := range []URI{a, b} {
			if !u.Key().Equal(u.Essential().Key()) || !u.Key().Equal(parse(t, u.Strict()).Key()) {
				t.Errorf("%s differs from %s or %s", u, u.Essential(), u.Strict())
			}
		}
	}
}

func parse(t *testing.T, s string) URI {
	t.Helper()
	u, err := ParseURI(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
