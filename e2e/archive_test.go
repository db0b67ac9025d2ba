package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"silod/e2e/phone"
)

// TestArchive: messages that are exported, deleted and imported have not changed. An import
// of stored messages stores nothing twice. Messages for users who are online are delivered.
func TestArchive(t *testing.T) {
	d := serve(t, "silo.reminder = 'sip:reminder@sip.test'", "silo.send_time = 1")
	w := dial(t, "tcp", d.addr)
	texts := []string{
		"hello", "Grüße\r\n<b>&\u2028", "\xff\xfe is no text", strings.Repeat("\x01\"", 20_000), "last",
	}
	for _, text := range texts {
		w.send(w.message("bob", text))
		if res := w.answer(); res.status != 202 {
			t.Fatalf("want 202:\n%s", res)
		}
	}
	if _, err := d.call("silo_remind", "carol", "20370101000000", "a reminder"); err != nil {
		t.Fatal(err)
	}
	ctl := func(want string, args ...string) {
		t.Helper()
		stdout, stderr, code := d.siloctl(t, args...)
		if code != 0 || stdout != want {
			t.Fatalf("siloctl %q: exit code %d, %q, want %q\n%s", args, code, stdout, want, stderr)
		}
	}
	// The ID of a row in the store is not a part of the message.
	ids := regexp.MustCompile(`"id":[0-9]+,`)
	read := func(name string) string {
		t.Helper()
		b, err := os.ReadFile(d.path(name))
		if err != nil {
			t.Fatal(err)
		}
		return ids.ReplaceAllString(string(b), "")
	}
	ctl("exported 6 messages\n", "messages", "export", "first.jsonl")
	first := read("first.jsonl")
	if !strings.HasPrefix(first, `{"format":"silod messages","version":1}`+"\n"+`{"user":"bob","domain":"sip.test","stored":`) {
		t.Errorf("the export begins %.200s", first)
	}
	info, err := os.Stat(d.path("first.jsonl"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others can read it: %v %v", info.Mode(), err)
	}
	ctl(`{"format":"silod messages","version":1}`+"\n", "messages", "export", "--user", "nobody")
	if stdout, _, code := d.siloctl(t, "messages", "export", "--older-than", "soon"); code == 0 || stdout != "" {
		t.Errorf("refused with exit code %d, it wrote %q", code, stdout)
	}
	ctl("stored 0 messages, 6 already stored\n", "messages", "import", "first.jsonl")
	ctl(`{"deleted":5}`+"\n", "-o", "json", "messages", "purge", "--all", "--yes")
	ctl("stored 5 messages, 1 already stored\n", "messages", "import", "first.jsonl")
	ctl("stored 0 messages, 6 already stored\n", "messages", "import", "first.jsonl")
	ctl("exported 6 messages\n", "messages", "export", "second.jsonl")
	sorted := func(s string) string { // the reminder has a lower ID now than the messages
		lines := strings.SplitAfter(s, "\n")
		for i, l := range lines {
			if strings.Contains(l, "send_at") {
				lines = append(append(lines[:i:i], lines[i+1:]...), l)
				break
			}
		}
		return strings.Join(lines, "")
	}
	if second := read("second.jsonl"); sorted(second) != sorted(first) {
		t.Errorf("exported again it is\n%.2000s\nand was\n%.2000s", second, first)
	}

	// Into another silod, from a pipe, while bob is online there.
	other := serve(t)
	got := make(chan string, 10)
	bob := other.user(t, "tcp", "bob", func(m *phone.Message) phone.Answer {
		got <- string(m.Body)
		return phone.Answer{}
	})
	if _, _, err := bob.Register(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	cmd := other.command("siloctl", "messages", "import", "-")
	cmd.Stdin = strings.NewReader(read("second.jsonl"))
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.HasPrefix(out, []byte("stored 6 messages\n")) {
		t.Errorf("import from a pipe: %s %v", out, err)
	}
	for _, want := range texts {
		select {
		case body := <-got:
			if body != want {
				t.Errorf("bob got %.100q, want %.100q", body, want)
			}
		case <-time.After(patience):
			t.Fatalf("bob did not get %.100q", want)
		}
	}

	// A file that is not an export, and a message that cannot be stored, are reported with their
	// lines.
	for _, c := range []struct{ text, want string }{
		{`{"format":"silod messages","version":2}`, "line 1: not an export that this siloctl can read"},
		{first + "rubbish\n", "from line 2 on: 400 Nothing was stored, line 7: invalid character"},
		{strings.Replace(first, `"user":"bob"`, `"user":"`+strings.Repeat("b", 100)+`"`, 1), "line 2 not imported: "},
	} {
		cmd := other.command("siloctl", "messages", "import")
		cmd.Stdin = strings.NewReader(c.text)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.want) {
			t.Errorf("%.80q: %v %s", c.text, err, out)
		}
	}
	if logs := fmt.Sprint(d.logs.String(), other.logs.String()); strings.Contains(logs, "hello") {
		t.Error("the log has the texts")
	}
}
