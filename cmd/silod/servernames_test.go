package main

import (
	"fmt"
	"net"
	"testing"
)

// All names by which phones know the server are one domain: that of the configuration, its
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
