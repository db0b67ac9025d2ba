package e2e_test

import (
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"silod/e2e/phone"
)

// TestStuck: a message that a phone has refused permanently is listed with the reason, blocks
// no other message, and is delivered when an administrator requeues it. A dry run shows how
// many messages a purge would delete.
func TestStuck(t *testing.T) {
	d := serve(t)
	w := dial(t, "tcp", d.addr)
	for _, text := range []string{"not this", "but this"} {
		w.send(w.message("bob", text))
		w.answer()
	}
	var refuses atomic.Bool
	refuses.Store(true)
	got := make(chan string, 10)
	bob := d.user(t, "udp", "bob", func(m *phone.Message) phone.Answer {
		if string(m.Body) == "not this" && refuses.Load() {
			return phone.Answer{Code: 603, Reason: "Decline"}
		}
		got <- string(m.Body)
		return phone.Answer{}
	})
	if _, _, err := bob.Register(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	awaitText := func(want string) {
		t.Helper()
		select {
		case text := <-got:
			if text != want {
				t.Fatalf("bob got %q, want %q", text, want)
			}
		case <-time.After(patience):
			t.Fatalf("bob did not get %q", want)
		}
	}
	awaitText("but this")
	row := regexp.MustCompile(`^ID +OWNER +FROM .* STUCK *\n *1 +` + uri("bob") + ` .* 603 Decline *\n$`)
	eventually(t, func() error {
		out, stderr, code := d.siloctl(t, "messages", "list", "--stuck")
		if code != 0 || !row.MatchString(out) {
			return fmt.Errorf("%d %q %s", code, out, stderr)
		}
		return nil
	})
	for _, c := range []struct{ args, want string }{
		{"purge --stuck --dry-run", "would delete 1 messages\n"},
		{"purge --user bob@" + domain + " --dry-run", "would delete 1 messages\n"},
		{"purge --older-than 1h --dry-run", "would delete 0 messages\n"},
		{"list --user carol@" + domain, ""},
		{"count", "count  1\n"},
	} {
		eventually(t, func() error { // the other message is removed after bob has got it
			out, stderr, code := d.siloctl(t, append([]string{"messages"}, strings.Fields(c.args)...)...)
			if code != 0 || out != c.want {
				return fmt.Errorf("messages %s: %d %q %s", c.args, code, out, stderr)
			}
			return nil
		})
	}
	refuses.Store(false)
	if out, stderr, code := d.siloctl(t, "messages", "requeue", "1"); code != 0 || out != "requeued message 1\n" {
		t.Errorf("requeue: %d %s%s", code, out, stderr)
	}
	awaitText("not this")
	d.awaitStored(t, "bob")
	if _, stderr, code := d.siloctl(t, "messages", "requeue", "1"); code != 1 || !strings.Contains(stderr, "404 There is no message 1") {
		t.Errorf("requeue of a delivered message: %d %s", code, stderr)
	}

	// The latencies for top.
	n, err := d.call("latencies")
	if err != nil || len(n.Nodes) != 3 || n.Nodes[1].Value != "commit" || attribute(n.Nodes[1], "count") != "2" || len(n.Nodes[1].Nodes) < 10 {
		t.Errorf("latencies: %+v, %v", n, err)
	}
}
