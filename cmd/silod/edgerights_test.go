package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestLimitsBehindProxy checks that wrong passwords and rates are those of the client: other
// clients of the proxy, and the proxy, stay in service.
func TestLimitsBehindProxy(t *testing.T) {
	t.Parallel()
	s := edge(t, believeProxy, withDigest, "auth.failures = '5/1h'", "auth.source_messages = '20/1h'")
	s.addUsers()
	for network, of := range map[string]func(client string) *ua{
		"tcp": func(client string) *ua { return s.through("tcp", proxyIP, v1("203.0.113.1"+client), "alice") },
		"tls": func(client string) *ua { return s.through("tls", proxyIP, v1("203.0.113.2"+client), "alice") },
		"ws":  func(client string) *ua { return s.web("ws", proxyIP, "", "alice", "203.0.113.3"+client) },
		"wss": func(client string) *ua { return s.web("wss", proxyIP, "", "alice", "203.0.113.4"+client) },
	} {
		mallory, honest := of("1"), of("2")
		for i := range 6 {
			mallory.guessAs(fmt.Sprint("user", i))
		}
		mallory.unanswered(mallory.text(bob, "hello"))
		again := of("1")
		again.unanswered(again.text(bob, "hello"))
		if got := honest.proven(asAlice, honest.text(bob, "hello")); status(got) != 202 {
			t.Errorf("%s: another client was answered\n%s", network, got)
		}
		for range 20 {
			honest.ask(honest.text(bob, "hello"))
		}
		if got := honest.ask(honest.text(bob, "hello")); status(got) != 503 {
			t.Errorf("%s: a message over the rate was answered\n%s", network, got)
		}
		if other := of("3"); status(other.proven(asAlice, other.text(bob, "hello"))) != 202 {
			t.Errorf("%s: the rate of one client limits another", network)
		}
	}
	var banned []string
	for _, n := range s.call("ban_list").Nodes {
		banned = append(banned, nodeAttr(n, "address"))
	}
	if len(banned) != 4 || strings.Contains(strings.Join(banned, " "), "127.") {
		t.Errorf("banned are %q", banned)
	}
	direct := s.through("tcp", proxyIP, "", "alice")
	if got := direct.proven(asAlice, direct.text(bob, "hello")); status(got) != 202 {
		t.Errorf("the proxy's machine was answered\n%s", got)
	}
	if !strings.Contains(s.log.String(), "source=203.0.113.11:40000") {
		t.Error("the log does not have the address of the client")
	}
}

// TestTrustBehindProxy checks that the rights of an address are those of the client's: they are
// neither gained by coming through a trusted proxy nor by a claim, nor lost.
func TestTrustBehindProxy(t *testing.T) {
	t.Parallel()
	s := edge(t, believeProxy, withDigest, "auth.trusted = ['"+proxyIP+"', '"+client2+"']")
	s.addUsers()
	for name, tt := range map[string]struct {
		u    *ua
		want int
	}{
		"a client":                    {s.through("tcp", proxyIP, v1(client1), "alice"), 407},
		"a trusted client":            {s.through("tcp", proxyIP, v1(client2), "alice"), 202},
		"a claim":                     {s.web("ws", "127.0.0.6", "", "alice", client2), 407},
		"a browser":                   {s.web("wss", proxyIP, "", "alice", client1), 407},
		"a browser with a claim":      {s.web("ws", proxyIP, "", "alice", client2, client1), 407},
		"a browser that claims all":   {s.web("ws", proxyIP, "", "alice", "127.0.0.1, "+proxyIP+", "+client1), 407},
		"a trusted browser":           {s.web("ws", proxyIP, "", "alice", client2), 202},
		"the trusted machine itself":  {s.through("tcp", proxyIP, "", "alice"), 202},
		"the claim of a TCP client":   {s.through("tcp", proxyIP, v1(client1), "alice"), 407},
		"a proxy in front of a proxy": {s.web("ws", proxyIP, "", "alice", client1+", 198.51.100.7"), 407},
	} {
		if got := tt.u.ask(tt.u.text(bob, "hello")); status(got) != tt.want {
			t.Errorf("%s: answered\n%s", name, got)
		}
	}
	notes := s.cfg.Notes()
	if len(notes) == 0 || notes[0].Key != "auth.trusted" {
		t.Errorf("notes: %v", notes)
	}
}

// TestBrowserBehindProxy: a proxy ends TLS, so that the browser uses wss and silod ws. The
// browser's Via then names another transport than the connection has.
func TestBrowserBehindProxy(t *testing.T) {
	t.Parallel()
	s := edge(t, believeProxy)
	b := s.web("ws", proxyIP, "", "bob", client1)
	wss := func(request string) string { return strings.Replace(request, "SIP/2.0/WS ", "SIP/2.0/WSS ", 1) }
	for _, transport := range []string{"ws", "wss"} {
		contact := "<sip:bob@x7tq.invalid;transport=" + transport + ">"
		got := b.ask(wss(b.request("REGISTER", "sip:127.0.0.1", bob, "", "Contact: "+contact+";expires=300")))
		if status(got) != 200 || !strings.Contains(header(got, "Contact"), contact) || !strings.HasPrefix(header(got, "Via"), "SIP/2.0/WSS ") {
			t.Fatalf("REGISTER was answered\n%s", got)
		}
		b.awaitLook()
		a := s.phone("udp", "alice")
		if got := a.message(bob, "hello"); got != 200 {
			t.Errorf("%s: a message to the browser was answered %d", transport, got)
		}
		if m := b.next(); body(m) != "hello" || !strings.HasPrefix(m, "MESSAGE sip:bob@x7tq.invalid;transport="+transport+" ") ||
			!strings.HasPrefix(header(m, "Via"), "SIP/2.0/WS ") {
			t.Errorf("the browser got\n%s", m)
		}
		if got := b.ask(wss(b.text(alice, "back"))); status(got) != 202 {
			t.Errorf("a message of the browser was answered\n%s", got)
		}
		b.ask(wss(b.request("REGISTER", "sip:127.0.0.1", bob, "", "Contact: *", "Expires: 0")))
	}
}
