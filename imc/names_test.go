package imc

import (
	"strings"
	"testing"
	"unicode/utf8"

	"silod/sip"
)

// FuzzNames checks that a name is shown in one word that can be written in a command, and
// that no two users are shown alike.
func FuzzNames(f *testing.F) {
	for _, s := range []string{
		"bob", "BOB", "jürgen", "j%C3%BCrgen", "J%c3%bcRGEN", "9901#1", "o%27neil", "{}|^`\\", "a b", " a", "%20", "50%", "%41", "%2541",
		"\x00", "a\r\n[bob]", "%0d%0a[bob]", "a@b", "a%40b", "a:b", "<bob>", `"bob"`, "*bob", "~bob", "**", "%2Abob", "\u202ebob", "bob\u200b", "bob\u00a0",
		"\xfc", "%FC", "\u2028", "אבג", "日本", "e\u0301", "\u3164", "\U000e0041", "\ufe0f", "", "private", "a;b=c?d", "+49,17",
	} {
		f.Add(s, "example.test")
		f.Add(s, "far.test:5070")
	}
	d := sip.NewDomains("example.test", "other.test")
	s := quietService(f, nil)
	s.domains = d
	room := sip.AoR{User: "chat-1", Domain: "example.test"}
	f.Fuzz(func(t *testing.T, user, domain string) {
		u := d.Row(user, domain)
		if a, _, err := d.Parse("<" + u.String() + ">"); err != nil || a != u {
			t.Skip() // no address
		}
		shown := displayName(u, room)
		if strings.ContainsAny(plainName(u), " \t\r\n[]<>\"\x00") || !utf8.ValidString(shown) || printable(shown) != shown {
			t.Errorf("%v is shown as %q", u, shown)
		}
		if strings.Contains(shown, "@") != (u.Domain != room.Domain) {
			t.Errorf("%v is shown as %q", u, shown)
		}
		if u.User == "" {
			return
		}
		if got, refused := s.parseUser(shown, room.Domain); refused != nil || got != u {
			t.Errorf("%v is shown as %q, which is read as %v, %v", u, shown, got, refused)
		}
		r := u.Lower()
		if r.Lower() != r {
			t.Errorf("%v has no lower case: %v, %v", u, r, r.Lower())
		}
		if a, _, err := d.Parse(r.String()); err != nil || a != r {
			t.Errorf("the room %v of %v is no AoR: %v, %v", r, u, a, err)
		}
	})
}

// TestIsRoom checks the spellings of rooms and of the manager.
func TestIsRoom(t *testing.T) {
	s := quietService(t, func(c *Config) {
		c.RoomPattern, c.Manager = `^(chat-[0-9]+|raum [a-zäöü]+|~.*|%.*)$`, "Räume#1"
	})
	s.domains.Configure(sip.DomainNames{Names: []string{"example.test", "other.test"}, Aliases: []string{"127.0.0.1"}})
	for address, want := range map[string]bool{
		"sip:chat-1@example.test":           true,
		"sip:chat%2D1@example.test":         true,
		"sip:CHAT-%31@EXAMPLE.test":         true,
		"sip:chat-1@127.0.0.1":              true,
		"sip:chat-1@other.test":             true,
		"sip:raum%20k%C3%B6ln@example.test": true,
		"raum köln":                         true,
		"RAUM köln":                         true,
		"raum kÖln":                         false, // case is folded in ASCII only
		"sip:r%c3%a4ume%231@127.0.0.1":      true,
		"Räume#1":                           true,
		"sip:chat-1@far.test":               false,
		"sip:chat-1%0A@example.test":        false,
		"sip:chat-1%00@example.test":        false,
		"sip:%00@example.test":              false,
		"~k3":                               false, // where closed rooms are stored
		"bob":                               false,
	} {
		a, _, err := s.domains.Parse(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
		}
		if s.IsRoom(a) != want {
			t.Errorf("%s: a room: %v", address, !want)
		}
	}
}

// TestMembersInAnyCase checks that the case of a name is ignored only if one member fits.
func TestMembersInAnyCase(t *testing.T) {
	r := newRoom(sip.AoR{User: "chat-1", Domain: "example.test"})
	at := func(user string) sip.AoR { return sip.AoR{User: user, Domain: "far.test"} }
	r.apply(&Change{Room: r.Room, Put: []Member{{User: at("Bob")}, {User: at("bob")}, {User: at("Carol")}}})
	for user, want := range map[string]string{"Bob": "Bob", "bob": "bob", "BOB": "", "carol": "Carol", "dave": ""} {
		got := ""
		if m := r.memberLike(at(user)); m != nil {
			got = m.User.User
		}
		if got != want {
			t.Errorf("%s is %q, want %q", user, got, want)
		}
	}
}
