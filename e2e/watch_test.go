package e2e_test

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/e2e/phone"
)

// TestWatch follows a user and a room with siloctl while messages are stored, delivered and
// sent to the room.
func TestWatch(t *testing.T) {
	d := prepare(t)
	d.configure(t, fmt.Sprintf("sip.listen = ['udp:%s', 'tcp:%s']", d.addr, d.addr), "sip.domains = ['"+domain+"']",
		"silo.add_date = 0", "mi.reply_dir = '"+d.dir+"/'", "mi.read_only_socket = '"+d.path("look.sock")+"'")
	d.start(t)
	user := start(t, d.command("siloctl", "-o", "json", "watch", "bob@"+domain))
	room := start(t, d.command("siloctl", "watch", "chat-1", "--bodies"))
	eventually(t, func() error {
		if n := d.counter(t, "watch:watchers"); n != 2 {
			return fmt.Errorf("%d watchers", n)
		}
		return nil
	})

	w := dial(t, "tcp", d.addr)
	w.send(w.message("bob", "a secret"))
	w.answer()
	bob := d.user(t, "udp", "bob", func(*phone.Message) phone.Answer { return phone.Answer{} })
	if _, _, err := bob.Register(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	w.send(w.message("chat-1", "#create"))
	w.answer()
	w.send(w.message("chat-1", "hello, room"))
	w.answer()

	want := []string{"received", "stored", "accepted", "registered", "sent", "answered", "delivered"}
	eventually(t, func() error {
		var got []string
		for line := range strings.Lines(user.output.String()) {
			var e map[string]any
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				if strings.HasPrefix(line, "watching ") {
					continue
				}
				return fmt.Errorf("not JSON: %s", line)
			}
			kind := fmt.Sprint(e["event"])
			got = append(got, kind)
			if e["user"] != uri("bob") || e["time"] == "" || kind == "stored" && e["id"] == nil || kind == "answered" && e["status"] != 200.0 {
				t.Errorf("unexpected event: %s", line)
			}
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("events %q, want %q:\n%s", got, want, user.output.String())
		}
		return nil
	})
	if strings.Contains(user.output.String(), "secret") {
		t.Error("the text is shown without --bodies")
	}
	eventually(t, func() error {
		out := room.output.String()
		for _, part := range []string{"said        mallory@" + domain + " to chat-1@" + domain, "\n    hello, room\n", "accepted    "} {
			if !strings.Contains(out, part) {
				return fmt.Errorf("no %q in\n%s", part, out)
			}
		}
		return nil
	})
	if logs := d.logs.String(); !strings.Contains(logs, `msg="watching begins" of=`+uri("bob")+` peer="uid=`) || strings.Contains(logs, "secret") {
		t.Errorf("the log lacks the peer, or has the text:\n%s", logs)
	}

	// A read-only socket shows events, but no texts.
	for _, c := range []struct{ want, args string }{
		{"403 A read-only socket shows no message texts", "watch bob --bodies"},
		{"403 silo_show shows message texts", "silo_show 1"},
		{"403 imc_history shows message texts", "imc_history chat-1"},
		{"403 silo_purge is not allowed on a read-only socket", "--yes silo_purge bob"},
	} {
		_, stderr, code := d.siloctl(t, append([]string{"--socket", d.path("look.sock")}, strings.Fields(c.args)...)...)
		if code != 1 || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: %d %s", c.args, code, stderr)
		}
	}
	if out, stderr, code := d.siloctl(t, "--socket", d.path("look.sock"), "rooms", "list"); code != 0 || !strings.Contains(out, "chat-1") {
		t.Errorf("rooms list: %d %s%s", code, out, stderr)
	}
	if got := d.byFIFO(t, "watch", "bob\n"); got != "400 watch runs until the connection is closed: use the control socket\n\n" {
		t.Errorf("over the FIFO: %q", got)
	}

	// A watcher that ends is removed; a watcher that stays does not delay the end of the daemon.
	room.kill()
	eventually(t, func() error {
		if n := d.counter(t, "watch:watchers"); n != 1 {
			return fmt.Errorf("%d watchers", n)
		}
		return nil
	})
	d.stop()
	if code := user.exit(); code != 3 || !strings.Contains(user.output.String(), "it has stopped") {
		t.Errorf("the watcher ended with %d:\n%s", code, user.output.String())
	}
}

// TestWatcherWhoDoesNotRead: watchers that do not read their events delay no message.
func TestWatcherWhoDoesNotRead(t *testing.T) {
	d := serve(t)
	for range 16 {
		c, err := net.Dial("unix", d.path("control.sock"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		fmt.Fprintf(c, `{"jsonrpc":"2.0","method":"watch","params":["bob","yes"],"dialect":"native","id":1}`)
	}
	eventually(t, func() error {
		if n := d.counter(t, "watch:watchers"); n != 16 {
			return fmt.Errorf("%d watchers", n)
		}
		return nil
	})
	if _, err := d.call("watch", "bob"); err == nil || !strings.Contains(err.Error(), "503 Too many watchers: 16 are allowed") {
		t.Errorf("one too many: %v", err)
	}
	w := dial(t, "tcp", d.addr)
	for range 1000 {
		w.send(w.message("bob", strings.Repeat("x", 1000)))
		if res := w.answer(); res.status != 202 {
			t.Fatalf("want 202:\n%s", res)
		}
	}
	if n, err := d.call("silo_count", "bob"); err != nil || value(n, "count") != "1000" {
		t.Errorf("%+v, %v", n, err)
	}
}
