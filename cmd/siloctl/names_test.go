package main

import (
	"strings"
	"testing"
	"unicode"

	"silod/sip"
)

func TestReadable(t *testing.T) {
	for in, want := range map[string]string{
		"sip:alice@example.org":                      "sip:alice@example.org",
		"sip:j%C3%BCrgen@example.org":                "sip:jürgen@example.org",
		"j%c3%bcrgen":                                "jürgen",
		"sip:9901%231@example.org":                   "sip:9901#1@example.org",
		"sip:%D7%93%D7%9C@example.org":               "sip:דל@example.org",
		"sip:hans%20maier@example.org":               "sip:hans%20maier@example.org",
		"hans maier":                                 "hans%20maier",
		"sip:x;reboot@example.org":                   "sip:x%3Breboot@example.org",
		"sip:$(reboot)@example.org":                  "sip:%24(reboot)@example.org",
		"sip:%E2%80%AEx%1B%5B2J@example.org":         "sip:%E2%80%AEx%1B%5B2J@example.org",
		"sip:s@example.org":                          "sip:s@example.org",
		"sip:%C3%BC@%C3%BC.example":                  "sip:%C3%BC@%C3%BC.example", // not a host
		"sips:%C3%BC@example.org:5071;transport=tcp": "sips:ü@example.org:5071;transport=tcp",
		"sip:a%40b%3A%25@example.org":                "sip:a%40b%3A%25@example.org",
		"sip:%FF@example.org":                        "sip:%FF@example.org",
		"tel:+4917":                                  "tel:+4917",
		`"J" <sip:j%C3%BCrgen@example.org>`:          `"J" <sip:jürgen@example.org>`,
		"sip:example.org":                            "sip:example.org",
		"":                                           "",
		"sip:\u200bx\u202e@example.org":              "sip:%E2%80%8Bx%E2%80%AE@example.org",
		"sip:e%CC%81@example.org":                    "sip:e\u0301@example.org",
	} {
		if got := readable(in); got != want {
			t.Errorf("readable(%q) = %q, want %q", in, got, want)
		}
	}
}

// A readable address is one word for a shell, has no invisible characters, and names the same user.
func FuzzReadable(f *testing.F) {
	for _, s := range []string{"jürgen", "hans maier", "9901#1", "o'neil", "a\u200db", "%zz", "x\x00\xff", "%E2%80%AE", "a|b;c&d"} {
		f.Add(s)
	}
	domains := sip.NewDomains("example.org")
	f.Fuzz(func(t *testing.T, name string) {
		aor, ours, err := domains.Parse(name)
		if err != nil || !ours {
			return
		}
		shown := readable(aor.String())
		if again, _, err := domains.Parse(shown); again != aor {
			t.Errorf("%q of %q is %s, %v", shown, aor, again, err)
		}
		if short := strings.TrimSuffix(strings.TrimPrefix(shown, "sip:"), "@example.org"); !strings.ContainsAny(short, ":") {
			if again, _, err := domains.Parse(short); again != aor {
				t.Errorf("%q of %q is %s, %v", short, aor, again, err)
			}
		}
		if clean(shown) != shown || strings.ContainsAny(shown, " $&;\\`|<>\"") ||
			strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) || unicode.Is(unicode.Cf, r) }) {
			t.Errorf("%q is shown for %q", shown, aor)
		}
	})
}
