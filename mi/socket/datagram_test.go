package socket

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"silod/mi"
)

// dialDatagram connects from a socket with an address, as kamunix and kamcli do.
func dialDatagram(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	own := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "c"), Net: "unixgram"}
	c, err := net.DialUnix("unixgram", own, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(soon))
	return c
}

// TestDatagramTorture: after each of these requests, the next command is served.
func TestDatagramTorture(t *testing.T) {
	s := options(t, registry())
	start(t, NewDatagram(s))
	c := dialDatagram(t, s.Path)
	buf := make([]byte, 2*mi.MaxRequest)
	ask := func(request string) string {
		send(t, c, request)
		n, err := c.Read(buf)
		if err != nil {
			t.Fatalf("%.40q: %v", request, err)
		}
		return string(buf[:n])
	}
	for request, want := range map[string]string{
		"x":          "500 command not available\n",
		":pwd":       "500 command not available\n",
		":pwd:r\n":   "500 command not available\n",
		":nosuch:":   "500 command not available\n",
		"\x00\xff":   "500 command not available\n",
		":crash:\n":  "500 command failed\n",
		":echo:\n\"": "400 parse error in command\n",
		"{":          `{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error"},"id":null}`,
		":echo:\n" + strings.Repeat("x", mi.MaxRequest): "400 request is longer than 65536 bytes\n",
		":rows:\n100000\n": "413 reply too long for a datagram: request a part of it (usage: rows N [FAIL_AT]), or use the control socket or the FIFO\n",
	} {
		if got := ask(request); got != want {
			t.Errorf("%.40q: got %.100q, want %q", request, got, want)
		}
		send(t, c, "\n") // not a request: there is no reply
		if got := ask(":pwd:\n"); !strings.HasPrefix(got, pwdReply) {
			t.Errorf("after %.40q: %q", request, got)
		}
	}
	if got := ask(":rows:\n850\n"); len(got) < 60000 {
		t.Errorf("a long reply has %d bytes", len(got))
	}
}

// TestDatagramNoAddress: the command of a client without an address runs, without a reply. A
// client that does not read its replies delays no other client.
func TestDatagramNoAddress(t *testing.T) {
	r := registry()
	ran := make(chan struct{}, 1)
	r.Add(mi.Command{Name: "mark", Run: func(context.Context, *mi.Request) (*mi.Node, error) { ran <- struct{}{}; return nil, nil }})
	s := options(t, r)
	start(t, NewDatagram(s))
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.Path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send(t, c, ":mark:\n")
	select {
	case <-ran:
	case <-time.After(soon):
		t.Error("the command of a client without an address did not run")
	}
	for i := range 3 {
		deaf, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "c"), Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = deaf.Close() })
		for range 20 { // more than its queue has space for
			if _, err := deaf.WriteToUnix([]byte(":rows:\n500\n"), &net.UnixAddr{Name: s.Path, Net: "unixgram"}); err != nil {
				t.Fatal(i, err)
			}
		}
		other := dialDatagram(t, s.Path)
		send(t, other, ":pwd:\n")
		if _, err := other.Read(make([]byte, 1000)); err != nil {
			t.Errorf("beside a client that does not read: %v", err)
		}
	}
}
