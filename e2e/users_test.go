package e2e_test

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// siloctlWith runs siloctl with a password on its standard input.
func (d *daemon) siloctlWith(t *testing.T, password string, args ...string) (output string, code int) {
	t.Helper()
	cmd := d.command("siloctl", append(args, "--password-stdin")...)
	cmd.Stdin = strings.NewReader(password + "\n")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestUsers: an administrator adds a user with a password, changes the password and removes
// it. Each step decides which password the server accepts.
func TestUsers(t *testing.T) {
	d := serve(t, digest, "log.level = 'debug'")
	d.addUsers(t, "bob")
	const first, second = "a first pässword", "a second one"
	expect := func(output string, code int, want string, wantCode int) {
		t.Helper()
		if code != wantCode || !strings.Contains(output, want) {
			t.Errorf("exit code %d, want %d; no %q in:\n%s", code, wantCode, want, output)
		}
	}
	send := func(password, want string, wantCode int) {
		t.Helper()
		out, code := d.siloctlWith(t, password, "send", "alice@"+domain, "bob@"+domain, "hello", "--server", d.addr)
		expect(out, code, want, wantCode)
	}
	send(first, "407", 1)
	out, code := d.siloctlWith(t, first, "users", "add", "alice@"+domain)
	expect(out, code, "added user alice@"+domain, 0)
	out, code = d.siloctlWith(t, first, "users", "add", "alice@"+domain)
	expect(out, code, "exists", 1)
	out, code = d.siloctlWith(t, first, "users", "add", "alice@elsewhere.example")
	expect(out, code, "is not a domain of this server", 1)
	send(first, "202", 0)
	send(second, "407", 1)
	stdout, stderr, code := d.siloctl(t, "users", "list")
	expect(stdout+stderr, code, "alice@"+domain, 0)
	expect(stdout, code, "SHA-256", 0)
	out, code = d.siloctlWith(t, second, "users", "passwd", "alice@"+domain)
	expect(out, code, "changed the password of user", 0)
	send(first, "407", 1)
	send(second, "202", 0)
	_, stderr, code = d.siloctl(t, "users", "add", "bob@"+domain, first)
	expect(stderr, code, "unexpected argument", 2)
	stdout, stderr, code = d.siloctl(t, "users", "remove", "-y", "alice@"+domain)
	expect(stdout+stderr, code, "removed user", 0)
	send(second, "407", 1)
	d.stop()
	for _, password := range []string{first, second} {
		if strings.Contains(d.logs.String(), password) {
			t.Error("a password is in the log")
		}
	}
}

// TestBansBySiloctl: a user whose password is guessed is banned at the source of the guesses, until
// an administrator lifts the ban.
func TestBansBySiloctl(t *testing.T) {
	d := serve(t, digest, "auth.failures = '2/1h'")
	d.addUsers(t, "alice", "bob")
	send := func(password string) (string, int) {
		t.Helper()
		return d.siloctlWith(t, password, "send", "alice@"+domain, "bob@"+domain, "hello", "--server", d.addr, "--transport", "tcp", "--timeout", "500ms")
	}
	if _, stderr, code := d.siloctl(t, "bans", "list"); code != 0 || !strings.Contains(stderr, "no bans") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	for range 3 {
		if out, code := send("a guess"); code != 1 {
			t.Fatalf("a guess: exit code %d: %s", code, out)
		}
	}
	if out, code := send(password); code != 1 {
		t.Errorf("a banned user: exit code %d, want 1: %s", code, out)
	}
	if out, _, code := d.siloctl(t, "bans", "list"); code != 0 || !strings.Contains(out, "127.0.0.1") || !strings.Contains(out, "alice@"+domain) {
		t.Errorf("exit code %d: %s", code, out)
	}
	if out, _, code := d.siloctl(t, "bans", "lift", "127.0.0.1"); code != 0 || !strings.Contains(out, "lifted the ban of 127.0.0.1") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if out, code := send(password); code != 0 {
		t.Errorf("after the ban: exit code %d: %s", code, out)
	}
	if _, stderr, code := d.siloctl(t, "bans", "lift", "127.0.0.1"); code != 1 || !strings.Contains(stderr, "is not banned") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// TestPhonesWithSHA256: a phone authenticates with SHA-256 where the server does not offer MD5.
func TestPhonesWithSHA256(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run("linphone/"+transport, func(t *testing.T) {
			t.Parallel()
			d := serve(t, digest, "auth.algorithms = ['SHA-256']")
			d.addUsers(t, "alice", "bob")
			alice := linphone(t, d, transport, "alice")
			d.awaitOnline(t, "alice", true)
			alice.say("bob", hard)
			d.awaitStored(t, "bob", hard)
			if n := d.counter(t, "auth:not_offered") + d.counter(t, "auth:wrong_passwords"); n != 0 {
				t.Errorf("%d answers were refused", n)
			}
		})
	}
}
