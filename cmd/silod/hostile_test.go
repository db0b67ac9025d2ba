package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"silod/auth"
	"silod/config"
	"silod/sip"
)

// TestRFC4475WithDigest sends the torture messages to a server with authentication. The
// responses are those of answers.txt, or of digest.txt if the message is listed there.
func TestRFC4475WithDigest(t *testing.T) {
	t.Parallel()
	const dir = "../../testdata/rfc4475"
	data, err := os.ReadFile(dir + "/digest.txt")
	if err != nil {
		t.Fatal(err)
	}
	messages := tortureMessages(t, dir, 49)
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 4 && !strings.HasPrefix(line, "#") {
			m, ok := messages[f[0]]
			if !ok {
				t.Errorf("there is no message %s", f[0])
			}
			m.answers = f[1:]
			messages[f[0]] = m
		}
	}
	s := serveIn(t, t.TempDir(), anyPort+webPort, withDigest, "sip.domains = ['example.com', 'example.net', 'example.org']", "sip.start_timeout = '1s'")
	for name, m := range messages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, network := range []string{"udp", "tcp", "ws"} { // not in parallel: the branch is the same
				t.Run(network, func(t *testing.T) {
					if got := s.torture(t, network, m.raw, m.answers[i]); got != m.answers[i] {
						t.Errorf("answered %s, want %s", got, m.answers[i])
					}
				})
			}
		})
	}
}

// FuzzCredentials checks that a request with invalid credentials is challenged or refused.
func FuzzCredentials(f *testing.F) {
	for _, seed := range []string{
		"", "Digest", "Basic YWxpY2U6eA==", `Digest username="alice", realm="127.0.0.1", nonce="{NONCE}", uri="sip:bob@127.0.0.1", response="0"`,
		`Digest username="alice",realm="127.0.0.1",nonce="{NONCE}",uri="sip:bob@127.0.0.1",qop=auth,nc=00000001,cnonce="",response="0123456789abcdef0123456789abcdef",algorithm=MD5`,
		`digest USERNAME = "al\"ice" , realm="127.0.0.1", nonce="{NONCE}", uri="sip:bob@127.0.0.1", response="x", algorithm=sha-256, qop="auth-int", nc=ffffffff, cnonce="c"`,
		`Digest username="", realm="127.0.0.1", nonce="", realm="127.0.0.1"`, `Digest username="alice@127.0.0.1:5060" realm=`,
		"Digest \xff\x00=\"\\", `Digest username="%00", realm="127.0.0.1", nonce="{NONCE}", uri="*", response="` + strings.Repeat("0", 5000) + `"`,
		`Digest username="<sip:alice@127.0.0.1>", realm="127.0.0.1", nonce="{NONCE}", uri="tel:1", response="0"`,
	} {
		f.Add(seed)
	}
	d := fuzzed(f)
	f.Fuzz(func(t *testing.T, value string) {
		u := (&served{daemon: d, t: t}).phone("tcp", "alice")
		defer u.conn.Close()
		nonce := params(challenges(u.ask(u.text(bob, "hello")))[0])["nonce"]
		value = strings.NewReplacer("{NONCE}", nonce, "\r", " ", "\n", " ", "\x00", " ").Replace(value)
		for _, name := range []string{"Authorization", "Proxy-Authorization"} {
			if got := status(u.ask(with(u.text(bob, "hello"), name, value))); got != 407 && got != 400 {
				t.Errorf("%s: %q was answered %d", name, value, got)
			}
		}
	})
}

// fuzzed starts a daemon with the user alice for all inputs.
func fuzzed(f *testing.F) *daemon {
	f.Helper()
	dir := f.TempDir()
	cfg, err := config.Parse("test.toml", []byte("sip.listen = ['tcp:127.0.0.1:0']\n"+
		"auth = {mode = 'digest', failures = '1000000/1s', source_messages = '0'}\nlog.level = 'error'"), config.Dirs{State: dir, Runtime: dir})
	if err != nil {
		f.Fatal(err)
	}
	d, err := start(f.Context(), cfg, "", f.Output())
	if err != nil {
		f.Fatal(err)
	}
	user := d.domains.Default()
	alice := sip.AoR{User: "alice", Domain: user}
	if err := d.database.Users().AddUser(f.Context(), alice, auth.NewSecret(alice, user, asAlice.password)); err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.serve(ctx) }()
	f.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, d.close()); err != nil {
			f.Error(err)
		}
	})
	return d
}
