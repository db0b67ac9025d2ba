package e2e_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestSipsakDigest has sipsak answer challenges.
func TestSipsakDigest(t *testing.T) {
	path := installed(t, "sipsak")
	d := serve(t, digest)
	if _, err := d.call("sub_add", "carol@127.0.0.1", password); err != nil {
		t.Fatal(err)
	}
	for pw, want := range map[string]int{password: 0, "a guess": 2} {
		cmd := exec.Command(path, "-U", "-s", "sip:carol@127.0.0.1", "-p", d.addr, "-C", "sip:carol@127.0.0.1:9", "-x", "600", "-u", "carol", "-a", pw, "-vvv")
		if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != want {
			t.Errorf("%v ended with exit code %d, want %d:\n%s", cmd.Args, cmd.ProcessState.ExitCode(), want, out)
		}
	}
}

// TestSipsak has requests of sipsak: their Via has another port than the source, and their
// addresses have no angle brackets. sipsak crashes when it sends a text with -M, so the text
// comes from a file.
func TestSipsak(t *testing.T) {
	path := installed(t, "sipsak")
	d := serve(t)
	sipsak := func(want int, args ...string) string {
		t.Helper()
		cmd := exec.Command(path, append(args, "-p", d.addr, "-vvv")...)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != want {
			t.Errorf("%v ended with exit code %d, want %d:\n%s", cmd.Args, code, want, out)
		}
		return string(out)
	}
	// sipsak resolves the domain, so the domain is an address.
	const server, carol = "sip:127.0.0.1", "sip:carol@127.0.0.1"
	if out := sipsak(0, "-s", server); !strings.Contains(out, "\nAllow: REGISTER, MESSAGE, OPTIONS") {
		t.Errorf("OPTIONS was answered without Allow:\n%s", out)
	}
	if out := sipsak(1, "-s", carol); !strings.Contains(out, "SIP/2.0 480 ") {
		t.Errorf("OPTIONS for a user who is offline, want 480:\n%s", out)
	}
	sipsak(0, "-U", "-s", carol, "-C", "sip:carol@127.0.0.1:9", "-x", "600")
	sipsak(0, "-s", carol) // OPTIONS, now that she is online
	sipsak(0, "-U", "-s", carol, "-C", "*", "-x", "0")
	sipsak(1, "-s", carol)

	text := file(t, strings.Join([]string{
		"MESSAGE " + carol + " SIP/2.0", "From: <sip:sipsak@127.0.0.1>;tag=1", "To: <" + carol + ">", "Call-ID: 1@sipsak", "CSeq: 1 MESSAGE",
		"Max-Forwards: 70", "Content-Type: text/plain", "Content-Length: 17", "", "hello from sipsak",
	}, "\r\n"), t.TempDir(), "text")
	if out := sipsak(0, "-s", carol, "-f", text); !strings.Contains(out, "SIP/2.0 202 ") {
		t.Errorf("a text by sipsak, want 202:\n%s", out)
	}
	// A flood of requests, without waiting for answers.
	sipsak(0, "-s", server, "-F", "-e", "2000")
	sipsak(0, "-s", server)
}
