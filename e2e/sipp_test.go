package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sipp starts SIPp with the scenario of a file for a user; more are further options.
func sipp(t *testing.T, d *daemon, transport, scenario, user string, more ...string) *program {
	t.Helper()
	args := []string{
		d.addr, "-i", "127.0.0.1", "-p", fmt.Sprint(freePort(t)), "-t", map[string]string{"udp": "u1", "tcp": "t1"}[transport],
		"-sf", scenario, "-key", "user", user, "-l", "1", "-r", "1000", "-nostdin", "-timeout", "60", "-timeout_error",
	}
	cmd := exec.Command(installed(t, "sipp"), append(args, more...)...)
	cmd.Dir = t.TempDir()
	return start(t, cmd)
}

// scenario returns the path of a scenario in testdata/sipp.
func scenario(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs("testdata/sipp/" + name + ".xml")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// succeed waits for the end of a SIPp, and fails the test if a call of it has failed.
func succeed(p *program) {
	p.t.Helper()
	if code := p.exit(); code != 0 {
		p.t.Fatalf("sipp ended with exit code %d", code)
	}
}

// TestSIPp has SIPp send texts to an offline user. Another SIPp that registers as that user
// receives them one after the other, unchanged.
func TestSIPp(t *testing.T) {
	const texts = 100
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			d := serve(t)
			message, receive := scenario(t, "message"), scenario(t, "receive")
			succeed(sipp(t, d, transport, message, "bob", "-m", fmt.Sprint(texts)))
			if got := d.counter(t, "msilo:stored_messages"); got != texts {
				t.Errorf("%d messages were stored, want %d", got, texts)
			}

			log := filepath.Join(t.TempDir(), "log")
			bob := sipp(t, d, transport, scenario(t, "register"), "bob", "-oocsf", receive, "-d", "600000",
				"-m", "1000", "-trace_logs", "-log_file", log)
			lines := []string{"registered,expires="}
			for i := range texts {
				lines = append(lines, fmt.Sprintf("received,number %d,text %[1]d,", i+1))
			}
			awaitLines(t, log, lines)
			d.awaitStored(t, "bob")

			// To a user who is online, the message is delivered at once: not 202.
			online := strings.Replace(string(read(t, message)), `response="202"`, `response="200"`, 1)
			succeed(sipp(t, d, transport, file(t, online, t.TempDir(), "online.xml"), "bob", "-m", "1"))
			awaitLines(t, log, append(lines, "received,number 1,text 1,"))

			succeed(sipp(t, d, transport, scenario(t, "unregister"), "bob", "-m", "1"))
			d.awaitOnline(t, "bob", false)
			succeed(sipp(t, d, transport, message, "bob", "-m", "1"))
			d.awaitStored(t, "bob", "text 1")
			if !bob.running() {
				t.Error("the SIPp that received has ended")
			}
		})
	}
}

// TestSIPpDigest has SIPp answer challenges: the uri of its credentials is the server's
// address, and not the Request-URI.
func TestSIPpDigest(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			d := serve(t, digest)
			d.addUsers(t, "sipp", "bob")
			succeed(sipp(t, d, transport, scenario(t, "digest"), "bob", "-m", "1", "-au", "sipp", "-ap", password))
			d.awaitStored(t, "bob", "text 1")
			if p := sipp(t, d, transport, scenario(t, "digest"), "bob", "-m", "1", "-au", "sipp", "-ap", "a guess"); p.exit() == 0 {
				t.Error("SIPp was accepted with a wrong password")
			}
			d.awaitStored(t, "bob", "text 1")
		})
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// awaitLines waits until a file has as many lines as want, and checks that each begins with
// the wanted text.
func awaitLines(t *testing.T, path string, want []string) {
	t.Helper()
	var got []string
	eventually(t, func() error {
		b, _ := os.ReadFile(path)
		got = strings.Split(strings.TrimRight(string(b), "\n"), "\n")
		if len(got) < len(want) {
			return fmt.Errorf("%d lines in %s, want %d", len(got), path, len(want))
		}
		return nil
	})
	if len(got) > len(want) {
		t.Fatal(errors.New("too many lines:\n" + strings.Join(got, "\n")))
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("line %d is %q, want %q", i+1, got[i], want[i])
		}
	}
}
