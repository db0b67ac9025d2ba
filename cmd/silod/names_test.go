package main

import (
	"fmt"
	"net"
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
// with (RFC 3261 section 19.1.4). From and To are relayed as they were written.
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
						if m := u.next(); body(m) != to || header(m, "To") != "<"+named(to, "sip.test")+">" {
							t.Errorf("%q got in place of the text to %q\n%s", p.spellings[i], to, m)
						}
					}
					s.eventually("the end of the delivery", func() bool { return s.stored() == 0 && s.engine.Active() == 0 })
					for _, to := range p.spellings {
						if got := a.message(named(to, "sip.test"), to); got != 200 {
							t.Errorf("%q, registered as %q: answered %d", to, p.spellings[i], got)
						}
						if m := u.next(); body(m) != to || header(m, "To") != "<"+named(to, "sip.test")+">" {
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
		if p.plain != p.canonical {
			continue
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

// What silod is called by its phones is one domain: the domain of the configuration, its
// aliases, the advertised name, and the addresses that are listened on.
func TestNamesOfTheServer(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			s := serve(t, "sip.domains = ['sip.test', 'second.test', '127.0.0.1']", "sip.advertise = 'Edge.example.net:5070'",
				"sip.domain_aliases = ['alias.test']")
			port := fmt.Sprint(s.addr(network).Port())
			hosts := []string{
				"sip.test", "SIP.test:" + port, "sip.test.", "127.0.0.1", "127.0.0.1:" + port, "edge.example.net", "edge.example.net:5070",
				"alias.test", "ALIAS.test:5060", "edge.example.net;transport=" + network,
			}
			for _, own := range hosts {
				b := s.phoneAs(network, named("bob", own))
				b.bindAs(60)
				for _, to := range hosts {
					a := s.phoneAs(network, named("alice", to))
					if got := a.message(named("bob", to), "hello"); got != 200 {
						t.Errorf("registered at %s, text to %s: answered %d", own, to, got)
						continue
					}
					b.next()
				}
				if got := s.phone(network, "alice").message("sip:bob@second.test", "another bob"); got != 202 {
					t.Errorf("the bob of another domain: answered %d", got)
				}
				b.bindAs(0)
			}
			if n := s.call("imc_create_room", "chat-1", "sip:alice@127.0.0.1"); n == nil {
				t.Error("no room")
			}
			for _, host := range hosts {
				if got := s.phoneAs(network, named("alice", host)).message(named("chat-1", host), "hello"); got != 200 {
					t.Errorf("a text to the room at %s: answered %d", host, got)
				}
			}
		})
	}
}

// A Route that names this server is removed, whatever name, port or parameters it has (RFC
// 3261 section 16.4). One to another server is refused.
func TestOwnRoutes(t *testing.T) {
	t.Parallel()
	s := serve(t, "sip.domains = ['sip.test']", "sip.advertise = '203.0.113.5'", "sip.domain_aliases = ['alias.test']")
	a, b := s.phoneAs("udp", "sip:alice@sip.test"), s.phoneAs("udp", "sip:bob@sip.test")
	b.bindAs(60)
	port := fmt.Sprint(s.addr("udp").Port())
	for _, tc := range []struct {
		routes []string
		status int
	}{
		{[]string{"<sip:203.0.113.5;lr>"}, 200},
		{[]string{"<sip:203.0.113.5:" + port + ";lr>"}, 200},
		{[]string{"<sip:203.0.113.5:5061;transport=tls;lr>"}, 200}, // of a NAT
		{[]string{"<sip:203.0.113.5>"}, 200},
		{[]string{"<sip:34020000001320000001@203.0.113.5:5060;lr>"}, 200},
		{[]string{"<sip:127.0.0.1:" + port + ";lr;transport=udp>"}, 200},
		{[]string{"<sip:localhost:" + port + ";lr>"}, 200},
		{[]string{"<sip:sip.test;lr>", "<sips:alias.test;lr=on>"}, 200},
		{[]string{"<sip:alias.test;lr>,<sip:127.0.0.1;lr>"}, 200},
		{[]string{"<sip:203.0.113.6;lr>"}, 403},
		{[]string{"<sip:sip.test;lr>", "<sip:elsewhere.example;lr>"}, 403},
		{[]string{"<sip:localhost.example;lr>"}, 403},
	} {
		var more []string
		for _, r := range tc.routes {
			more = append(more, "Route: "+r)
		}
		if got := a.message("sip:bob@sip.test", "hello", more...); got != tc.status {
			t.Errorf("%q: answered %d, want %d", tc.routes, got, tc.status)
		} else if got == 200 {
			if m := b.next(); header(m, "Route") != "" {
				t.Errorf("%q: bob got\n%s", tc.routes, m)
			}
		}
	}
	for _, target := range []string{"sip:203.0.113.5", "sip:alias.test", "sip:127.0.0.1:" + port, "sip:localhost:" + port} {
		if got := a.ask(a.request("REGISTER", target, "sip:alice@203.0.113.5", "")); status(got) != 200 {
			t.Errorf("REGISTER to %s: answered\n%s", target, got)
		}
	}
}

// Without a domain in the configuration, the advertised host is the domain, as in a container.
func TestAdvertisedDomain(t *testing.T) {
	t.Parallel()
	s := serve(t, withDigest, "sip.advertise = 'im.example.net:5070'")
	if got := s.domains.Default(); got != "im.example.net" {
		t.Fatalf("the main domain is %s", got)
	}
	s.call("sub_add", "bob", asBob.password)
	for _, host := range []string{"im.example.net", "127.0.0.1", "localhost"} {
		b := s.phoneAs("tcp", named("bob", host))
		got := b.ask(b.request("REGISTER", "sip:"+host, b.aor, ""))
		for _, c := range challenges(got) {
			if params(c)["realm"] != "im.example.net" {
				t.Errorf("at %s the realm is %s", host, params(c)["realm"])
			}
		}
		if got := b.login(asBob); status(got) != 200 {
			t.Errorf("at %s: answered\n%s", host, got)
		}
	}
}

// With a listener on all addresses, each address of the machine is a name of the main domain.
func TestAddressesOfTheMachine(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), "'udp:0.0.0.0:0', 'tcp:0.0.0.0:0'", "sip.domains = ['sip.test']", "auth.mode = 'none'")
	b := s.phoneAs("udp", "sip:bob@sip.test")
	b.bindAs(60)
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Skip(err)
	}
	for _, a := range addrs {
		ip, _, err := net.ParseCIDR(a.String())
		if err != nil || ip.To4() == nil {
			continue
		}
		if got := s.phone("udp", "alice").message(named("bob", ip.String()), "hello"); got != 200 {
			t.Errorf("bob at %s: answered %d", ip, got)
		}
	}
}

// With case_sensitive, alice and Alice are two users. The host has no case.
func TestCaseSensitive(t *testing.T) {
	t.Parallel()
	s := serve(t, "sip.domains = ['sip.test']", "registrar.case_sensitive = 1")
	b := s.phoneAs("udp", "sip:Bob@sip.test")
	b.bindAs(60)
	for to, want := range map[string]int{"sip:Bob@SIP.test": 200, "sip:%42ob@sip.test": 200, "sip:bob@sip.test": 202, "sip:BOB@sip.test": 202} {
		if got := s.phone("udp", "alice").message(to, "hello"); got != want {
			t.Errorf("%s: answered %d, want %d", to, got, want)
		}
	}
}

// What silod writes itself, every parser can read: it escapes what a phone wrote plain.
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
}

// A reload does not give the users in memory other names: a new main domain, aliases and
// case_sensitive wait for a restart. A further domain does not.
func TestReloadKeepsNames(t *testing.T) {
	t.Parallel()
	base := []string{"sip.listen = ['udp:127.0.0.1:0', 'tcp:127.0.0.1:0']"}
	s := serveFile(t, t.TempDir(), append(base, "sip.domains = ['sip.test']")...)
	b := s.phoneAs("udp", "sip:bob@sip.test")
	b.bindAs(60)
	for _, tc := range []struct {
		lines []string
		want  string
		ours  string
	}{
		{[]string{"sip.domains = ['sip.test', 'b.test']"}, "[sip.domains now]", "b.test"},
		{[]string{"sip.domains = ['c.test', 'sip.test']"}, "[sip.domains restart]", "b.test"},
		{[]string{"sip.domains = ['sip.test']", "sip.domain_aliases = ['d.test']", "registrar.case_sensitive = 1"}, "[sip.domains now sip.domain_aliases restart registrar.case_sensitive restart]", "127.0.0.1"},
	} {
		if got := fmt.Sprint(s.reloadWith(append(base, tc.lines...)...)); got != tc.want {
			t.Errorf("%q: the reload returned %s, want %s", tc.lines, got, tc.want)
		}
		if !s.domains.Has(tc.ours) || s.domains.Has("c.test") || s.domains.Has("d.test") {
			t.Errorf("%q: other domains", tc.lines)
		}
		if got := s.phone("udp", "alice").message("sip:BOB@sip.test", "hello"); got != 200 {
			t.Errorf("%q: answered %d", tc.lines, got)
		}
	}
}
