package sip

import "testing"

// TestAoROfOtherSchemes checks which URIs of other schemes name a user of ours.
func TestAoROfOtherSchemes(t *testing.T) {
	d := NewDomains("example.org", "192.0.2.1")
	for in, want := range map[string]string{
		"im:alice@example.org":                       "sip:alice@example.org",
		"IM:%61lice@EXAMPLE.org.:5070?subject=x@y":   "sip:alice@example.org",
		"mailto:alice@example.org":                   "sip:alice@example.org",
		"pres://alice@192.0.2.1/x":                   "sip:alice@192.0.2.1",
		"xmpp:alice:pw@example.org/home;a=b@c":       "sip:alice@example.org",
		"im:a@x@example.org":                         "sip:a%40x@example.org", // such a user cannot exist
		"im:9901#1@example.org":                      "sip:9901%231@example.org",
		"im:a;b/c?d@example.org":                     "sip:a;b/c?d@example.org",
		"im:alice@example.org/x@y;a#b":               "sip:alice@example.org",
		"im:@example.org":                            "sip:example.org",
		"im:%zz@example.org":                         "sip:example.org",
		"tel:1-2.3(4);phone-context=example.org":     "sip:1234@example.org",
		"tel:12;isub=1;Phone-Context=EXAMPLE.org;x":  "sip:12@example.org",
		"im:alice@elsewhere.example":                 "",
		"im:alice@elsewhere.example?x=a@example.org": "",
		"tel:+12;phone-context=+49":                  "",
		"tel:+12@example.org":                        "",
		"tel:+12":                                    "",
		"urn:service:sos":                            "",
		"mailto:":                                    "",
		"im:alice@exa mple":                          "",
	} {
		u, err := ParseURI(in)
		if err != nil {
			continue
		}
		aor, ours := d.AoR(u)
		if ours != (want != "") || ours && aor.String() != want || !ours && !aor.IsZero() {
			t.Errorf("%s: %s, ours: %v, want %q", in, aor, ours, want)
		}
	}
}

func TestBareURI(t *testing.T) {
	for in, want := range map[string]string{
		"sip:a@b:5070;x=1?y=2":                    "sip:a@b:5070",
		"tel:+49-1;isub=2;ext=3":                  "tel:+49-1",
		"tel:45;isub=2;phone-context=+49123;ext=": "tel:45;phone-context=+49123",
		"mailto:a@b?subject=c":                    "mailto:a@b",
		"urn:service:sos":                         "urn:service:sos",
	} {
		u, err := ParseURI(in)
		if err != nil || u.Bare().String() != want {
			t.Errorf("%s: %s, %v, want %s", in, u.Bare(), err, want)
		}
	}
}

func TestReachable(t *testing.T) {
	for in, want := range map[string]bool{
		"sip:a@b": true, "sip:b": false, "sip:anonymous@anonymous.invalid": false, "sip:a@INVALID": false, "sip:a@notinvalid": true,
		"tel:+1": false, "sip:a@invalid.example": true,
	} {
		u, err := ParseURI(in)
		if err != nil || u.AoR().Reachable() != want {
			t.Errorf("%s: %v, %v", in, !want, err)
		}
	}
}
