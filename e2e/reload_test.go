package e2e_test

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReload: SIGHUP and siloctl reload do the same, systemd is notified at the end, and a
// file with an error changes nothing.
func TestReload(t *testing.T) {
	d := prepare(t)
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: d.path("notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	d.env = append(d.env, "NOTIFY_SOCKET="+d.path("notify"))
	told := func(want string) {
		t.Helper()
		_ = notify.SetReadDeadline(time.Now().Add(patience))
		buf := make([]byte, 1000)
		n, err := notify.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), want) {
			t.Fatalf("systemd is told %q (%v), want %q", buf[:n], err, want)
		}
	}
	base := []string{fmt.Sprintf("sip.listen = ['udp:%s', 'tcp:%s']", d.addr, d.addr), "sip.domains = ['" + domain + "']"}
	d.configure(t, base...)
	d.start(t)
	told("READY=1")

	d.configure(t, append(base, "silo.max_messages = 1")...)
	d.signal(syscall.SIGHUP)
	told("RELOADING=1\nMONOTONIC_USEC=")
	told("READY=1")
	w := dial(t, "udp", d.addr)
	for i, want := range []int{202, 480} {
		w.send(w.message("bob", fmt.Sprint(i)))
		if res := w.answer(); res.status != want {
			t.Errorf("message %d, want %d:\n%s", i, want, res)
		}
	}

	d.configure(t, append(base, "silo.max_messages = 'many'")...)
	d.signal(syscall.SIGHUP)
	told("RELOADING=1")
	told("READY=1")
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) { // the log comes through a pipe of its own
		logs := d.logs.String()
		if strings.Contains(logs, "nothing was changed") && strings.Contains(logs, "silo.max_messages: expected an integer") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the log lacks the error:\n%s", logs)
		}
	}
	if _, stderr, code := d.siloctl(t, "reload"); code != 1 || !strings.Contains(stderr, "silod.toml:3: silo.max_messages: expected an integer") {
		t.Errorf("siloctl reload of an error: %d %s", code, stderr)
	}

	d.configure(t, append(base, "silo.max_messages = 2", "silo.delivery = 'every'")...)
	const table = "KEY                EFFECT\nsilo.max_messages  now\nsilo.delivery      restart\n"
	if stdout, stderr, code := d.siloctl(t, "reload"); code != 0 || stdout != table {
		t.Errorf("siloctl reload: %d %s%s", code, stdout, stderr)
	}
	w.send(w.message("bob", "2"))
	if res := w.answer(); res.status != 202 {
		t.Errorf("want 202:\n%s", res)
	}
	d.configure(t, append(base, "silo.max_messages = 2")...)
	if stdout, stderr, code := d.siloctl(t, "reload"); code != 0 || stdout != "" || stderr != "no changes in the configuration\n" {
		t.Errorf("siloctl reload of the same: %d %q %q", code, stdout, stderr)
	}
}
