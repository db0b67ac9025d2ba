package e2e_test

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSystemd: systemd is notified when silod serves, regularly while it serves, and when it
// stops.
func TestSystemd(t *testing.T) {
	d := prepare(t)
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: d.path("notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	var told []string
	next := func() string {
		t.Helper()
		_ = manager.SetReadDeadline(time.Now().Add(patience))
		buf := make([]byte, 4096)
		n, err := manager.Read(buf)
		if err != nil {
			t.Fatalf("after %q: %v", told, err)
		}
		told = append(told, strings.TrimSpace(string(buf[:n])))
		return told[len(told)-1]
	}

	d.env = []string{"NOTIFY_SOCKET=" + d.path("notify"), "WATCHDOG_USEC=300000"}
	d.launch(t)
	if got := next(); got != "READY=1" {
		t.Fatalf("the first notification is %q", got)
	}
	// After READY it must serve.
	if out, stderr, code := d.siloctl(t, "send", "alice@"+domain, "bob@"+domain, "hello", "--server", d.addr); code != 0 {
		t.Errorf("exit code %d: %s%s", code, out, stderr)
	}
	for range 3 {
		if got := next(); got != "WATCHDOG=1" {
			t.Errorf("told %q", got)
		}
	}
	d.stop()
	for next() != "STOPPING=1" {
	}
	if slices.ContainsFunc(told, func(s string) bool { return s != "READY=1" && s != "WATCHDOG=1" && s != "STOPPING=1" }) {
		t.Errorf("told %q", told)
	}
}
