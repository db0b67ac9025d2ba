package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// ordinary is header fields that make a request as large as those of ordinary clients, so
// that the response over UDP may contain both challenges.
const ordinary = "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, MESSAGE, NOTIFY, INFO\r\nSupported: replaces, outbound, gruu, path\r\n" +
	"Accept: application/sdp\r\nAccept: text/plain\r\nAccept: application/vnd.gsma.rcs-ft-http+xml\r\n" +
	"Route: <sip:127.0.0.1;transport=udp;lr>\r\nOrganization: one with quite a long name\r\nUser-Agent: a test of digest authentication"

// TestDigest authenticates with each algorithm over each transport, also as clients
// without a nonce count do.
func TestDigest(t *testing.T) {
	t.Parallel()
	s := serveUsers(t, "auth.algorithms = ['MD5', 'SHA-256']")
	for _, network := range []string{"udp", "tcp"} {
		for _, l := range []login{
			{},
			{algorithm: "SHA-256"},
			{algorithm: "MD5"},
			{algorithm: "MD5", legacy: true},
			{wrongURI: "sip:127.0.0.1:5060"}, // as SIPp does
			{wrongURI: "sip:bob@127.0.0.1:5060;transport=tcp"},
		} {
			l.user, l.password = asAlice.user, asAlice.password
			t.Run(fmt.Sprintf("%s/%s/%v/%s", network, l.algorithm, l.legacy, l.wrongURI), func(t *testing.T) {
				a := s.phone(network, "alice")
				if !strings.Contains(l.wrongURI, "bob") {
					got := a.prove(l, a.request("REGISTER", "sip:127.0.0.1", alice, "", "Contact: <sip:alice@127.0.0.1:9>", ordinary))
					if status(got[0]) != 401 || status(got[len(got)-1]) != 200 {
						t.Errorf("REGISTER was answered\n%s", strings.Join(got, "\n"))
					}
				}
				got := a.prove(l, a.text(bob, "hello", ordinary))
				if status(got[0]) != 407 || status(got[len(got)-1]) != 202 {
					t.Errorf("MESSAGE was answered\n%s", strings.Join(got, "\n"))
				}
				cs := challenges(got[0])
				want := []string{"MD5", "SHA-256"}
				for i, c := range cs {
					if p := params(c); len(cs) != 2 || p["realm"] != "127.0.0.1" || p["qop"] != "auth" || p["algorithm"] != want[i] || p["nonce"] == "" {
						t.Errorf("challenges %q", cs)
					}
				}
			})
		}
	}
}

// TestDefaultAlgorithm checks that MD5 is offered alone by default, because there are clients that
// fail if another algorithm stands beside it, and that no other is accepted.
func TestDefaultAlgorithm(t *testing.T) {
	t.Parallel()
	s := serveUsers(t)
	for _, network := range []string{"udp", "tcp"} {
		a := s.phone(network, "alice")
		cs := challenges(a.ask(a.text(bob, "hello", ordinary)))
		if len(cs) != 1 || params(cs[0])["algorithm"] != "MD5" {
			t.Fatalf("challenges %q", cs)
		}
		strong := asAlice.answer(t, []string{strings.Replace(cs[0], "MD5", "SHA-256", 1)}, "MESSAGE", bob, 1)
		if got := a.ask(with(a.text(bob, "hello"), "Proxy-Authorization", strong)); status(got) != 407 {
			t.Errorf("SHA-256 was answered\n%s", got)
		}
		if got := a.proven(asAlice, a.text(bob, "hello")); status(got) != 202 {
			t.Errorf("answered\n%s", got)
		}
	}
}

// TestAlgorithms checks that algorithms that are not offered are not accepted.
func TestAlgorithms(t *testing.T) {
	t.Parallel()
	s := serveUsers(t, "auth.algorithms = ['SHA-256']")
	a := s.phone("tcp", "alice")
	first := a.ask(a.text(bob, "hello"))
	cs := challenges(first)
	if len(cs) != 1 || params(cs[0])["algorithm"] != "SHA-256" {
		t.Fatalf("challenges %q", cs)
	}
	weak := asAlice.answer(t, []string{strings.Replace(cs[0], "SHA-256", "MD5", 1)}, "MESSAGE", bob, 1)
	if got := a.ask(with(a.text(bob, "hello"), "Proxy-Authorization", weak)); status(got) != 407 {
		t.Errorf("MD5 was answered\n%s", got)
	}
	if got := a.proven(asAlice, a.text(bob, "hello")); status(got) != 202 {
		t.Errorf("answered\n%s", got)
	}
}

// TestRetryInTheSameTransaction sends credentials with the branch, Call-ID, CSeq and From
// tag of the first request, as Pidgin does.
func TestRetryInTheSameTransaction(t *testing.T) {
	t.Parallel()
	s := serveUsers(t)
	for _, network := range []string{"udp", "tcp"} {
		a := s.phone(network, "alice")
		request := a.text(bob, "hello")
		first := a.ask(request)
		second := with(request, "Proxy-Authorization", asAlice.answer(t, challenges(first), "MESSAGE", bob, 1))
		if got := a.ask(second); status(first) != 407 || status(got) != 202 {
			t.Errorf("%s: answered\n%s\n%s", network, first, got)
		}
		// A retransmission gets the same response and does not count as a replay.
		if network == "udp" {
			if got := a.ask(second); status(got) != 202 {
				t.Errorf("the retransmission was answered\n%s", got)
			}
		}
	}
	if n := s.stored(); n != 2 {
		t.Errorf("%d messages are stored, want 2", n)
	}
}

// TestNonceCounts answers one challenge in many requests with different nonce counts.
func TestNonceCounts(t *testing.T) {
	t.Parallel()
	s := serveUsers(t)
	a := s.phone("tcp", "alice")
	cs := challenges(a.ask(a.text(bob, "hello")))
	send := func(count int) string {
		return a.ask(with(a.text(bob, "hello"), "Proxy-Authorization", asAlice.answer(t, cs, "MESSAGE", bob, count)))
	}
	for _, count := range []int{1, 2, 3, 9, 5} {
		if got := send(count); status(got) != 202 {
			t.Errorf("count %d was answered\n%s", count, got)
		}
	}
	for _, count := range []int{1, 3, 5, 9} { // replays: an attacker sends captured credentials in another request
		got := send(count)
		if status(got) != 407 || !strings.Contains(got, "stale=true") {
			t.Errorf("the replay of count %d was answered\n%s", count, got)
		}
	}
	if n := s.stored(); n != 5 {
		t.Errorf("%d messages are stored, want 5", n)
	}
}

// TestReplayElsewhere checks that captured credentials are rejected with another method,
// for another recipient and from another address.
func TestReplayElsewhere(t *testing.T) {
	t.Parallel()
	s := serveUsers(t)
	a, mallory := s.phone("tcp", "alice"), s.phoneFrom("tcp", "127.0.0.66", "alice")
	credentials := asAlice.answer(t, challenges(a.ask(a.text(bob, "hello"))), "MESSAGE", bob, 1)
	const carol = "sip:carol@127.0.0.1"
	for name, tc := range map[string]struct {
		request string
		status  int
	}{
		"another recipient": {mallory.text(carol, "spam"), 400},
		"another method":    {mallory.request("REGISTER", bob, alice, "", "Contact: <sip:m@127.0.0.66>"), 401},
	} {
		if got := mallory.ask(with(tc.request, "Proxy-Authorization", credentials)); status(got) != tc.status {
			t.Errorf("%s: answered\n%s", name, got)
		}
	}
	if got := a.ask(with(a.text(bob, "hello"), "Proxy-Authorization", credentials)); status(got) != 202 {
		t.Errorf("alice's own was answered\n%s", got)
	}
	if got := mallory.ask(with(mallory.text(bob, "hello"), "Proxy-Authorization", credentials)); status(got) != 407 {
		t.Errorf("the replay was answered\n%s", got)
	}

	// Without a nonce count a nonce is valid only for the first address that uses it.
	old := asAlice
	old.legacy = true
	credentials = old.answer(t, challenges(a.ask(a.text(bob, "hello"))), "MESSAGE", bob, 0)
	if got := a.ask(with(a.text(bob, "hello"), "Proxy-Authorization", credentials)); status(got) != 202 {
		t.Errorf("as of RFC 2069: answered\n%s", got)
	}
	if got := mallory.ask(with(mallory.text(bob, "hello"), "Proxy-Authorization", credentials)); status(got) != 407 {
		t.Errorf("the replay as of RFC 2069 was answered\n%s", got)
	}
}

// TestStaleNonce checks that the nonce of another process is answered with a new challenge
// and stale=true, so that clients do not ask the user for the password again. Nodes with
// the same secret accept each other's nonces.
func TestStaleNonce(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("0123456789abcdef", 2)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		more string
		want int
	}{"a secret of one's own": {"", 407}, "a secret in common": {"auth.nonce_secret_file = '" + secret + "'", 202}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one, two := serveUsers(t, tc.more), serveUsers(t, tc.more)
			a, b := one.phone("tcp", "alice"), two.phone("tcp", "alice")
			cs := challenges(a.ask(a.text(bob, "hello")))
			got := b.ask(with(b.text(bob, "hello"), "Proxy-Authorization", asAlice.answer(t, cs, "MESSAGE", bob, 1)))
			if status(got) != tc.want || tc.want == 407 && !strings.Contains(got, "stale=true") {
				t.Errorf("answered\n%s", got)
			}
		})
	}
}

// TestNonceSecret checks that files that are not suitable as a secret are errors.
func TestNonceSecret(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	long := strings.Repeat("x", 32)
	for want, path := range map[string]string{
		"no such file":       filepath.Join(dir, "missing"),
		"is empty":           file("empty", "\n", 0o600),
		"use at least 16":    file("short", "12345", 0o600),
		"all users can read": file("open", long, 0o644),
	} {
		cfg := testConfig(t, t.TempDir(), anyPort, withDigest, "auth.nonce_secret_file = '"+path+"'")
		_, err := start(t.Context(), cfg, "", new(syncBuffer))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "12345") {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// unlike matches the parts of a response that differ between any two responses.
var unlike = regexp.MustCompile(`(nonce="[^"]*")|(tag=\w+)|(branch=\w+)|(rport=\d+)|(127\.0\.0\.1:\d+)|(call-\d+)|(CSeq: \d+)`)

// TestUnknownUsers checks that responses do not show whether a user exists: those to a
// wrong password and to an unknown user are the same at every step, also for a user with
// an MD5 hash only.
func TestUnknownUsers(t *testing.T) {
	t.Parallel()
	for order, steps := range map[string]int{"'MD5', 'SHA-256'": 2, "'SHA-256', 'MD5'": 3} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			s := serveUsers(t, "auth.failures = '1000/1m'", "auth.algorithms = ["+order+"]")
			s.sql(`INSERT INTO subscriber (username, domain, password, ha1, ha1b) VALUES ('old', '127.0.0.1', '', '6fbb9e7e2bb4a1e1c7a8ff0e5f0c1d2e', '')`)
			responses := func(user string) string {
				a := s.phone("tcp", "alice") // From does not matter here
				var got strings.Builder
				for _, request := range []string{a.text(bob, "hello"), a.request("REGISTER", "sip:127.0.0.1", alice, "", "Contact: <sip:a@127.0.0.1:9>")} {
					for _, answer := range a.prove(login{user: user, password: "wrong"}, request) {
						got.WriteString(unlike.ReplaceAllString(answer, "..."))
					}
				}
				return got.String()
			}
			want := responses("alice")
			if strings.Count(want, "SIP/2.0 407 ") != steps || strings.Count(want, "SIP/2.0 401 ") != steps {
				t.Errorf("a wrong password was answered\n%s", want)
			}
			for _, user := range []string{"nobody", "old", "alice@127.0.0.1", "x@example.org", "no such user", "%00", "9901#1", "jürgen", "\xfc", `a\"b`, "ALICE"} {
				if got := responses(user); got != want {
					t.Errorf("%q was answered\n%s\nand alice\n%s", user, got, want)
				}
			}
		})
	}
}

// TestPasswords changes a password, removes it, and changes it as another program does.
func TestPasswords(t *testing.T) {
	t.Parallel()
	s := serveUsers(t)
	try := func(password string, want int) {
		t.Helper()
		a := s.phone("tcp", "alice")
		if got := a.proven(login{user: "alice", password: password}, a.text(bob, "hello")); status(got) != want {
			t.Errorf("%q was answered\n%s", password, got)
		}
	}
	try(asAlice.password, 202)
	s.call("sub_passwd", "alice", "another")
	try(asAlice.password, 407)
	try("another", 202)
	// kamctl changes passwords in this way, without silod's hashes. silod reads the new one
	// when its cache entry expires, or when a command changes the user.
	s.sql(`UPDATE subscriber SET password = 'third', ha1 = '' WHERE username = 'alice'`)
	s.credentials.Invalidate(s.aor("alice"))
	try("another", 407)
	try("third", 202)
	s.call("sub_remove", "alice")
	try("third", 407)
	s.call("sub_add", "alice", "fourth")
	try("fourth", 202)
	if list := s.call("sub_list"); len(list.Nodes) != 2 {
		t.Errorf("users: %+v", list)
	}
}

// TestUsersCannotBeLookedUp checks that a failed look-up is answered 503, not 403.
func TestUsersCannotBeLookedUp(t *testing.T) {
	t.Parallel()
	s := serveUsers(t)
	a := s.phone("tcp", "alice")
	a.login(asAlice)
	s.eventually("an idle engine", func() bool { return s.engine.Active() == 0 })
	if err := s.database.Close(); err != nil {
		t.Fatal(err)
	}
	b := s.phone("tcp", "bob")
	if got := b.proven(asBob, b.text(alice, "hello")); status(got) != 503 || header(got, "Retry-After") == "" {
		t.Errorf("answered\n%s", got)
	}
	// alice is in the cache: the request fails at the store.
	if got := a.proven(asAlice, a.text(bob, "hello")); status(got) != 503 || !strings.Contains(got, "cannot be stored now") {
		t.Errorf("a cached user was answered\n%s", got)
	}
}
