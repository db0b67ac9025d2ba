package main

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"silod/sip"
)

// A person is a user of sip.test with all spellings that mean it.
type person struct {
	plain     string   // as people write it, and as a phone sends it as the user name of digest
	canonical string   // as silod writes it
	spellings []string // as phones send it in URIs
}

var people = []person{
	{"bob", "bob", []string{"bob", "%62ob", "Bob", "BOB", "%42o%62"}},
	{"9901#1", "9901%231", []string{"9901#1", "9901%231", "%39901%231"}},
	{"jürgen", "j%C3%BCrgen", []string{"jürgen", "j%C3%BCrgen", "J%c3%bcrgen"}},
	{"j\xfcrg", "j%FCrg", []string{"j\xfcrg", "j%fcrg", "j%FCrg"}}, // Latin-1
	{"a{}|^b", "a%7B%7D%7C%5Eb", []string{"a{}|^b", "a%7B%7D%7C%5eb"}},
	{"a[1]", "a%5B1%5D", []string{"a[1]", "a%5b1%5D"}},
	{"back\\slash", "back%5Cslash", []string{"back\\slash", "back%5cslash"}},
	{"gr`ave", "gr%60ave", []string{"gr`ave", "gr%60ave"}},
	{"o'neil", "o'neil", []string{"o'neil", "o%27neil"}},
	{"+4917", "+4917", []string{"+4917", "%2B4917", "%2b%34917"}},
	{"hans maier", "hans%20maier", []string{"hans%20maier", "Hans%20Maier"}},
	{"a@b", "a%40b", []string{"a%40b", "%61%40b"}},
	{"a;b?c/d,e", "a;b?c/d,e", []string{"a;b?c/d,e", "a%3Bb%3fc%2Fd%2ce"}},
	{"50%", "50%25", []string{"50%25"}},
}

// named returns the URI of a spelling at a host.
func named(spelling, host string) string { return "sip:" + spelling + "@" + host }

// strictly returns a URI in the characters of RFC 3261 section 25.1: escapes are as they were.
func strictly(uri string) string {
	var b strings.Builder
	for i := range len(uri) {
		if c := uri[i]; c > ' ' && c < 0x7f && !strings.ContainsRune("\"#<>[]\\^`{|}", rune(c)) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// phoneAs returns a user agent whose From and To have a URI.
func (s *served) phoneAs(network, uri string) *ua {
	u := s.phone(network, "x")
	u.aor = uri
	return u
}

// bindAs registers the agent with its own spelling, over a contact that any parser reads, or
// removes the contact.
func (u *ua) bindAs(expires int) {
	u.t.Helper()
	contact := fmt.Sprintf("Contact: <sip:c@%s;transport=%s>", u.conn.LocalAddr(), u.conn.LocalAddr().Network())
	_, host, _ := strings.Cut(u.aor[strings.LastIndexByte(u.aor, '@'):], "@")
	if a := u.ask(u.request("REGISTER", "sip:"+host, u.aor, "", contact, fmt.Sprintf("Expires: %d", expires))); status(a) != 200 {
		u.t.Fatalf("REGISTER of %s was answered\n%s", u.aor, a)
	}
	u.awaitLook()
}

// Each spelling of a user is that user, online and offline, whatever spelling it registers
// with (RFC 3261 section 19.1.4). From and To are relayed with
// their URIs as they were written, or escaped where the grammar requires it; the sender gets its
// own back in the answer.
func TestSpellingsAreOneUser(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			s := serve(t, "sip.domains = ['sip.test']")
			a := s.phone(network, "alice")
			for _, p := range people {
				phones := make([]*ua, len(p.spellings))
				for i, own := range p.spellings {
					phones[i] = s.phoneAs(network, named(own, "sip.test"))
				}
				for i, u := range phones {
					for _, to := range p.spellings { // stored
						if got := a.message(named(to, "sip.test"), to); got != 202 {
							t.Fatalf("%q offline: answered %d", to, got)
						}
					}
					u.bindAs(60)
					for _, to := range p.spellings {
						if m := u.next(); body(m) != to || header(m, "To") != "<"+strictly(named(to, "sip.test"))+">" {
							t.Errorf("%q got in place of the text to %q\n%s", p.spellings[i], to, m)
						}
					}
					s.eventually("the end of the delivery", func() bool { return s.stored() == 0 && s.engine.Active() == 0 })
					for _, to := range p.spellings {
						if got := a.message(named(to, "sip.test"), to); got != 200 {
							t.Errorf("%q, registered as %q: answered %d", to, p.spellings[i], got)
						}
						if m := u.next(); body(m) != to || header(m, "To") != "<"+strictly(named(to, "sip.test"))+">" {
							t.Errorf("%q got\n%s", p.spellings[i], m)
						}
					}
					if n := len(s.location.Bindings(s.userOf(p.canonical))); n != 1 {
						t.Errorf("%s has %d contacts", p.canonical, n)
					}
					phones[(i+1)%len(phones)].sameContact(u).bindAs(0) // any spelling removes it
					if s.location.Online(s.userOf(p.canonical)) {
						t.Errorf("%s is still registered", p.canonical)
					}
				}
			}
		})
	}
}

// sameContact lets u register and remove the contact of another agent.
func (u *ua) sameContact(of *ua) *ua {
	return &ua{t: u.t, conn: of.conn, aor: u.aor, answers: of.answers, requests: of.requests, seq: of.seq + 1000, daemon: u.daemon}
}

// userOf returns the user of the main domain with a canonical name.
func (s *served) userOf(canonical string) sip.AoR {
	s.t.Helper()
	a, ours, err := s.domains.Parse("sip:" + canonical + "@" + s.domains.Default())
	if err != nil || !ours || a.User != canonical {
		s.t.Fatalf("%s: %v, ours %v, %v", canonical, a, ours, err)
	}
	return a
}

// The spellings of a user are one member of a room, and one owner.
func TestSpellingsAreOneMember(t *testing.T) {
	t.Parallel()
	s := serve(t, "sip.domains = ['sip.test']")
	for i, p := range people {
		room := fmt.Sprintf("sip:chat-%d@sip.test", i)
		own := s.phoneAs("tcp", named(p.spellings[0], "sip.test"))
		if got := own.message(room, fmt.Sprintf("#create chat-%d", i)); got != 200 {
			t.Fatalf("%s: create was answered %d", p.plain, got)
		}
		for _, spelling := range p.spellings {
			u := s.phoneAs("tcp", named(spelling, "sip.test"))
			if got := u.message(room, "#join"); got != 200 {
				t.Errorf("%s: join as %q was answered %d", p.plain, spelling, got)
			}
			if got := u.message(strings.ToUpper(room[:4])+room[4:], "hello"); got != 200 {
				t.Errorf("%s: a text of %q was answered %d", p.plain, spelling, got)
			}
			if n := len(s.call("imc_list_members", fmt.Sprintf("chat-%d", i)).Nodes); n != 1 {
				t.Errorf("%s, as %q: %d members", p.plain, spelling, n)
			}
		}
		u := s.phoneAs("tcp", named(p.spellings[len(p.spellings)-1], "sip.test"))
		if got := u.message(room, "#destroy"); got != 200 { // the owner's command
			t.Errorf("%s: destroy as %q was answered %d", p.plain, p.spellings[len(p.spellings)-1], got)
		}
	}
}

// A user logs in with its name as its phone sends it, and may use every spelling of its
// address.
func TestSpellingsLogIn(t *testing.T) {
	t.Parallel()
	s := serve(t, withDigest, "sip.domains = ['sip.test']")
	for _, p := range people {
		if !utf8.ValidString(p.plain) || strings.Contains(p.plain, "\\") {
			continue // no text for the management; a backslash is an escape in a quoted string
		}
		l := login{user: p.plain, password: "pw"}
		s.call("sub_add", s.userOf(p.canonical).String(), l.password)
		for _, spelling := range p.spellings {
			u := s.phoneAs("tcp", named(spelling, "sip.test"))
			register := u.request("REGISTER", "sip:sip.test", u.aor, "", fmt.Sprintf("Contact: <sip:c@%s>", u.conn.LocalAddr()))
			if got := u.proven(l, register); status(got) != 200 {
				t.Errorf("%s as %q: answered\n%s", p.plain, spelling, got)
			}
			if got := u.proven(l, u.text(named(p.spellings[0], "sip.test"), "to myself")); status(got) != 200 && status(got) != 202 {
				t.Errorf("%s as %q: a text was answered\n%s", p.plain, spelling, got)
			}
			other := s.phoneAs("tcp", named("x"+spelling, "sip.test"))
			if got := other.proven(l, other.text(alice, "forged")); status(got) != 403 {
				t.Errorf("%s as another: answered\n%s", p.plain, got)
			}
		}
	}
}

// Every parser can read the addresses that silod writes itself: characters that a phone has
// written plain are escaped.
func TestNoticesAreReadable(t *testing.T) {
	t.Parallel()
	s := serve(t, "sip.domains = ['sip.test']", "silo.from_address = 'sip:$rU@$rd'", "silo.offline_message = '$rU is offline'")
	u := s.phoneAs("tcp", "sip:jürgen@sip.test")
	u.bindAs(60)
	if got := u.message("sip:9901#1@sip.test", "hello"); got != 202 {
		t.Fatalf("answered %d", got)
	}
	if m := u.next(); !strings.HasPrefix(header(m, "From"), "<sip:9901%231@sip.test>;tag=") || header(m, "To") != "<sip:j%C3%BCrgen@sip.test>" {
		t.Errorf("got\n%s", m)
	}
}

// The spellings of a sender share its part of a mailbox.
func TestSpellingsShareAQuota(t *testing.T) {
	t.Parallel()
	s := serve(t, "sip.domains = ['sip.test']", "silo.max_per_sender = 2")
	for i, from := range []string{
		"sip:jürgen@sip.test", "sip:J%C3%BCrgen@127.0.0.1", "sip:j%c3%bcrgen@SIP.test:5070", "sips:jürgen@sip.test", "sip:jürgen@sip.test;x=y", "im:j%C3%BCrgen@sip.test",
	} {
		want := 202
		if i >= 2 {
			want = 480
		}
		if got := s.phoneAs("udp", from).message("sip:bob@sip.test", "hello"); got != want {
			t.Errorf("%s: answered %d, want %d", from, got, want)
		}
	}
	for i, from := range []string{"sip:ü@other.test", "sip:%c3%bc@OTHER.test.", "sip:%C3%bc:pw@other.test:5060", "sip:ü@other.test;x"} {
		if got := s.phoneAs("udp", from).message("sip:bob@sip.test", "hello"); (got == 480) != (i >= 2) {
			t.Errorf("%s: answered %d", from, got)
		}
	}
}

// A contact may have the characters that its phone writes. Requests have it as it was
// registered, also after a restart, and the answer to a REGISTER in the characters of the
// grammar.
func TestContactsOutsideTheGrammar(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"udp", "tcp"} {
		s := serveIn(t, t.TempDir(), fixedPort(t))
		var phones []*ua
		for user, canonical := range outside {
			u := s.phoneAs(network, named(user, "127.0.0.1"))
			contact := fmt.Sprintf("Contact: <sip:%s@%s;transport=%s>", user, u.conn.LocalAddr(), network)
			a := u.ask(u.request("REGISTER", "sip:127.0.0.1", u.aor, "", contact))
			if status(a) != 200 || !strings.HasPrefix(header(a, "Contact"), "<sip:"+canonical+"@") {
				t.Errorf("%q: answered\n%s", user, a)
			}
			u.awaitLook()
			phones = append(phones, u)
		}
		if network == "udp" {
			s = s.restart()
		}
		a := s.phone(network, "alice")
		for _, u := range phones {
			user, _, _ := strings.Cut(u.aor, "@")
			if got := a.message(u.aor, "hello"); got != 200 {
				t.Errorf("%q: a text was answered %d", user, got)
			} else if m := u.next(); !strings.HasPrefix(m, fmt.Sprintf("MESSAGE %s@%s;transport=%s SIP/2.0\r\n", user, u.conn.LocalAddr(), network)) {
				t.Errorf("%q got\n%s", user, m)
			}
		}
	}
}

// outside are users with characters outside the grammar, and how silod writes them.
var outside = map[string]string{
	"9901#1": "9901%231", "jürgen": "j%C3%BCrgen", "j\xfcrg": "j%FCrg", "a{}|^[]`\\b": "a%7B%7D%7C%5E%5B%5D%60%5Cb",
}
