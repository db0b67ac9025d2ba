package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/config"
	"silod/mi"
)

// guess sends a wrong password.
func (u *ua) guess() string {
	return u.proven(login{user: "alice", password: "a guess", algorithm: "MD5"}, u.text(bob, "hello"))
}

// unanswered sends requests and checks that none is answered.
func (u *ua) unanswered(requests ...string) {
	u.t.Helper()
	for _, r := range requests {
		if _, err := u.conn.Write([]byte(r)); err != nil {
			u.t.Fatal(err)
		}
	}
	select {
	case a := <-u.answers:
		u.t.Errorf("answered\n%s", a)
	case <-time.After(silence):
	}
}

// TestProxyOfUsers checks that a trusted proxy whose users authenticate here is neither
// banned nor limited as a single source.
func TestProxyOfUsers(t *testing.T) {
	t.Parallel()
	s := serveUsers(t, "auth.failures = '2/1h'", "auth.source_messages = '3/1h'", "auth.trusted = ['127.0.0.7 digest']")
	proxy := s.phoneFrom("udp", "127.0.0.7", "alice")
	for range 5 {
		if got := proxy.guess(); status(got) != 407 {
			t.Fatalf("a guess was answered\n%s", got)
		}
	}
	if got := proxy.proven(asAlice, proxy.text(bob, "hello")); status(got) != 202 {
		t.Errorf("answered\n%s", got)
	}
}

// TestRates checks the limits for requests of a source and of a user.
func TestRates(t *testing.T) {
	t.Parallel()
	s := serveUsers(t, "auth.source_messages = '8/1h'", "auth.source_registers = '6/1h'", "auth.source_others = '2/1h'",
		"auth.user_messages = '3/1h'", "auth.user_registers = '2/1h'")
	limited := func(name, answer string) {
		t.Helper()
		if status(answer) != 503 || header(answer, "Retry-After") == "" {
			t.Errorf("%s: answered\n%s", name, answer)
		}
	}
	const contact = "Contact: <sip:alice@127.0.0.1:9>"
	register := func(u *ua) string {
		return u.proven(asAlice, u.request("REGISTER", "sip:127.0.0.1", alice, "", contact))
	}
	a := s.phone("udp", "alice")
	for range 3 { // two requests each: six of the eight allowed
		if got := a.proven(asAlice, a.text(bob, "hello")); status(got) != 202 {
			t.Fatalf("answered\n%s", got)
		}
	}
	limited("alice's fourth message", a.proven(asAlice, a.text(bob, "hello")))
	limited("the ninth message from there", a.ask(a.text(bob, "hello")))
	for range 2 {
		if got := register(a); status(got) != 200 {
			t.Fatalf("answered\n%s", got)
		}
	}
	limited("alice's third registration", register(a))
	limited("the seventh registration from there", a.ask(a.request("REGISTER", "sip:127.0.0.1", alice, "", contact)))
	for range 2 {
		a.ask(a.request("OPTIONS", "sip:127.0.0.1", "sip:127.0.0.1", ""))
	}
	limited("the third of another kind", a.ask(a.request("INVITE", bob, bob, "")))

	elsewhere := s.phoneFrom("udp", "127.0.0.9", "alice")
	limited("alice from elsewhere", elsewhere.proven(asAlice, elsewhere.text(bob, "hello")))
	b := s.phoneFrom("tcp", "127.0.0.9", "bob")
	if got := b.proven(asBob, b.text(bob, "hello")); status(got) != 202 {
		t.Errorf("bob was answered\n%s", got)
	}
}

// TestRatesWithoutDigest checks that without authentication only the limits apply that the
// configuration sets.
func TestRatesWithoutDigest(t *testing.T) {
	t.Parallel()
	s := serve(t, "auth.source_others = '5/1h'")
	a := s.phone("tcp", "alice")
	for i := range 700 { // more than the default for a user, and for other requests
		if got := a.message(bob, "hello"); got != 202 {
			t.Fatalf("message %d was answered %d", i, got)
		}
	}
	for i := range 6 {
		if got := status(a.ask(a.request("OPTIONS", "sip:127.0.0.1", "sip:127.0.0.1", ""))); (got == 503) != (i == 5) {
			t.Errorf("OPTIONS %d was answered %d", i, got)
		}
	}
}

// TestScanners checks that requests of known scanners are not answered.
func TestScanners(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"none", "digest"} {
		s := serve(t, "auth.mode = '"+mode+"'", "auth.trusted = ['127.0.0.7']")
		for i, agent := range []string{"friendly-scanner", "Friendly-Scanner", "sipvicious 0.3", "sipcli/v1.8", "eyeBeam friendly-request"} {
			x := s.phone([]string{"udp", "tcp"}[i%2], "x")
			x.unanswered(x.request("OPTIONS", "sip:100@127.0.0.1", "sip:100@127.0.0.1", "", "User-Agent: "+agent),
				x.request("REGISTER", "sip:127.0.0.1", "sip:100@127.0.0.1", "", "Contact: <sip:1@1.1.1.1>", "User-Agent: "+agent))
		}
		if n := s.guard.Agents.Blocked.Value(); n != 10 {
			t.Errorf("%d requests were dropped", n)
		}
		if strings.Contains(s.log.String(), "OPTIONS") {
			t.Error("their requests are logged")
		}
		peer := s.phoneFrom("tcp", "127.0.0.7", "x")
		if got := peer.ask(peer.request("OPTIONS", "sip:127.0.0.1", "sip:127.0.0.1", "", "User-Agent: sipcli/v1.8")); status(got) != 200 {
			t.Errorf("a trusted peer was answered\n%s", got)
		}
	}
}

// spendCredit uses the bytes that an unknown address may be sent although it has not sent them.
func (s *served) spendCredit(address string) {
	for s.daemon.transport.Covers(netip.MustParseAddr(address), 100, 101) {
		continue
	}
}

// TestAnswersAreNoLargerThanRequests checks that a sender with a forged source address cannot
// use silod for amplification, once the bytes are spent that each address may be sent (see
// TestReflectionOfChallenges). The requests are as small as those of real clients.
func TestAnswersAreNoLargerThanRequests(t *testing.T) {
	t.Parallel()
	s := serveUsers(t, "auth.strangers = 'nobody'", "auth.source_others = '5/1h'")
	const agent = "User-Agent: Linphonec/5.1.65 (belle-sip/5.1.64)"
	for name, ask := range map[string]func(x *ua) string{
		"REGISTER": func(x *ua) string {
			return x.request("REGISTER", "sip:127.0.0.1", alice, "", agent, "Supported: replaces, outbound, gruu",
				"Accept: application/sdp", "Accept: text/plain", "Accept: application/vnd.gsma.rcs-ft-http+xml",
				"Contact: <sip:alice@127.0.0.1:5070>;+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\"", "Expires: 600")
		},
		"REGISTER of another domain": func(x *ua) string {
			return x.request("REGISTER", "sip:127.0.0.1", "sip:x@elsewhere.example", "", agent, "Contact: <sip:x@127.0.0.1:5070>")
		},
		"MESSAGE": func(x *ua) string {
			return x.text(bob, "a text of ordinary length", agent, "Supported: replaces, outbound, gruu", "Date: Sat, 21 Nov 2026 12:00:00 GMT",
				"Route: <sip:127.0.0.1;lr>")
		},
		"MESSAGE of a stranger": func(x *ua) string { x.aor = "sip:x@elsewhere.example"; return x.text(bob, "a text", agent) },
		"OPTIONS": func(x *ua) string {
			return x.request("OPTIONS", "sip:127.0.0.1", "sip:127.0.0.1", "", agent, "Accept: text/plain")
		},
		"INVITE": func(x *ua) string {
			return x.request("INVITE", bob, bob, "v=0", agent, "Contact: <sip:x@127.0.0.1:5070>")
		},
		"SUBSCRIBE": func(x *ua) string {
			return x.request("SUBSCRIBE", bob, bob, "", agent, "Contact: <sip:x@127.0.0.1:5070>", "Event: presence")
		},
		"another method": func(x *ua) string { return x.request("DANCE", bob, bob, "", agent, "Contact: <sip:x@127.0.0.1:5070>") },
		"an unknown extension": func(x *ua) string {
			return x.request("OPTIONS", bob, bob, "", agent, "Require: a, b, c", "Accept: text/plain")
		},
		"a malformed request": func(x *ua) string {
			return strings.Replace(x.request("INVITE", bob, bob, "v=0", agent, "Accept: text/plain"), "CSeq:", "CSeq: x", 1)
		},
	} {
		x := s.phone("udp", "alice")
		for range 2 { // the second one is a new request, not a retransmission
			request := ask(x)
			s.spendCredit("127.0.0.1")
			if got := x.ask(request); len(got) > len(request) {
				t.Errorf("%s: %d bytes for %d:\n%s", name, len(got), len(request), got)
			}
		}
	}
	if n, _ := s.daemon.transactions.Transactions(); n != 0 {
		t.Errorf("%d transactions of strangers are kept", n)
	}
}

// TestModeNoneMustBeMeant checks that an open server requires an explicit auth.mode.
func TestModeNoneMustBeMeant(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"sip.listen = ['udp:0.0.0.0:5060']":                         "auth.mode: it is not set, and other machines can reach",
		"sip.listen = ['udp:127.0.0.1:5060', 'tcp:192.0.2.1:5060']": "auth.mode: it is not set, and other machines can reach",
		"sip.listen = ['udp:0.0.0.0:5060']\nauth.mode = 'none'":     "",
		"sip.listen = ['udp:0.0.0.0:5060']\nauth.mode = 'digest'":   "",
		"sip.listen = ['udp:127.0.0.1:5060', 'tcp:[::1]:5060']":     "",
	} {
		file := filepath.Join(t.TempDir(), "silod.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := load(file, config.Dirs{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestGuardReload changes trusted peers, rates and blocked agents while silod runs.
func TestGuardReload(t *testing.T) {
	t.Parallel()
	s := serveUsers(t)
	peer := s.phoneFrom("tcp", "127.0.0.7", "alice")
	if got := peer.ask(peer.text(bob, "hello")); status(got) != 407 {
		t.Errorf("before: answered\n%s", got)
	}
	set, err := settingsOf(testConfig(t, s.dir, anyPort, withDigest, "auth.trusted = ['127.0.0.7']", "auth.source_messages = '1/1h'",
		"auth.blocked_agents = ['MyScanner']"), s.cfg.Auth.Mode)
	if err != nil {
		t.Fatal(err)
	}
	s.configure(set)
	for range 3 {
		if got := peer.ask(peer.text(bob, "hello")); status(got) != 202 {
			t.Errorf("a peer: answered\n%s", got)
		}
	}
	a := s.phone("tcp", "alice")
	a.ask(a.text(bob, "hello"))
	if got := a.ask(a.text(bob, "hello")); status(got) != 503 {
		t.Errorf("one too many: answered\n%s", got)
	}
	a.unanswered(a.request("OPTIONS", "sip:127.0.0.1", "sip:127.0.0.1", "", "User-Agent: myscanner/2"))
}

// TestNoSecretInSight checks that neither the debug log, nor replies of the management
// interface, nor messages to phones contain passwords, hashes of passwords or responses to
// challenges.
func TestNoSecretInSight(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("the-nodes-own-secret-0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serveUsers(t, "log.level = 'debug'", "auth.nonce_secret_file = '"+secret+"'")
	a, b := s.phone("udp", "alice"), s.phone("tcp", "bob")
	b.login(asBob)
	seen := strings.Join(append(a.prove(asAlice, a.text(bob, "hello")), b.next()), "\n")
	a.guess()
	s.call("sub_passwd", "alice", "changed-pässword")
	s.sql("UPDATE subscriber SET password = 'in-the-clear' WHERE username = 'bob'")
	for _, c := range s.registry.Commands() {
		if c.Follows || slices.Contains([]string{"kill", "sub_remove", "sub_passwd"}, c.Name) {
			continue
		}
		second := "x"
		if c.Name == "sub_add" {
			second = "another-password"
		}
		node, err := s.tryCall(c.Name, "bob@127.0.0.1", second)
		seen += fmt.Sprint(c.Name, err) + dump(node)
		node, err = s.tryCall(c.Name)
		seen += fmt.Sprint(err) + dump(node)
	}
	seen += s.log.String()
	hidden := []string{
		asAlice.password, asBob.password, "a guess", "changed-pässword", "in-the-clear", "another-password", "the-nodes-own-secret", "c0ffee",
		`response="`,
	}
	hidden = append(hidden, s.hashes()...)
	if len(hidden) < 12 || !strings.Contains(seen, "SHA-256") || !strings.Contains(seen, "sub_passwd") {
		t.Fatal("the test looks in the wrong place")
	}
	for _, h := range hidden {
		if at := strings.Index(seen, h); at >= 0 {
			t.Errorf("%q is seen: ...%s", h, seen[max(0, at-200):min(len(seen), at+100)])
		}
	}
}

// dump returns all texts of a reply.
func dump(n *mi.Node) string {
	if n == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintln(&b, n.Name, n.Value, n.Attrs)
	for _, c := range n.Nodes {
		b.WriteString(dump(c))
	}
	return b.String()
}

// TestRootsOfTrust checks that a file without certificates is an error.
func TestRootsOfTrust(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{}
	if pool, err := clientCAs(cfg); pool != nil || err != nil {
		t.Errorf("without names: %v", err)
	}
	cfg.Auth.Trusted = []config.Peer{{Name: "proxy.example.org"}}
	cfg.Auth.TrustedCA = file
	if _, err := clientCAs(cfg); err == nil || !strings.Contains(err.Error(), "no certificate in") {
		t.Errorf("%v", err)
	}
	cfg.Auth.TrustedCA = file + ".missing"
	if _, err := clientCAs(cfg); err == nil {
		t.Error("a missing file is no error")
	}
	cfg.Auth.TrustedCA = ""
	if _, err := clientCAs(cfg); err != nil {
		t.Errorf("the system's: %v", err)
	}
}
