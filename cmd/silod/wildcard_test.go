package main

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// wildcardPort returns a port that is free on all addresses, for "udp" and "tcp".
func wildcardPort(t *testing.T) uint16 {
	t.Helper()
	for range 100 {
		pc, err := net.ListenPacket("udp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		port := pc.LocalAddr().(*net.UDPAddr).Port
		ln, err := net.Listen("tcp", fmt.Sprint(":", port))
		_ = pc.Close()
		if err == nil {
			_ = ln.Close()
			return uint16(port)
		}
	}
	t.Fatal("no free port")
	return 0
}

// TestWildcardListeners checks that a daemon that listens on all addresses serves each client
// from the address that it uses: answers, messages that are relayed or stored, and messages
// over the stored flow after a restart. The sockets of the clients are connected, so they
// receive nothing from another address.
func TestWildcardListeners(t *testing.T) {
	t.Parallel()
	port := wildcardPort(t)
	config := []string{"sip.domains = ['127.0.0.1']", "auth.mode = 'none'"}
	dir := t.TempDir()
	listen := fmt.Sprintf("'udp:0.0.0.0:%d', 'udp:[::]:%d', 'tcp:0.0.0.0:%d', 'tcp:[::]:%d'", port, port, port, port)
	s := serveIn(t, dir, listen, config...)
	at := func(network, ip, user string) *ua {
		u := phone(t, network, netip.AddrPortFrom(netip.MustParseAddr(ip), port), "sip:"+user+"@127.0.0.1")
		u.daemon = s.daemon
		return u
	}
	type device struct {
		*ua
		via string // start of the Via in requests to it
	}
	var devices []device
	for _, network := range []string{"udp", "tcp"} {
		for i, ip := range []string{"127.0.0.1", "127.0.0.2", "127.9.8.7", "::1"} {
			d := device{ua: at(network, ip, fmt.Sprint(network, i))}
			d.via = fmt.Sprintf("SIP/2.0/%s %s;", strings.ToUpper(network), netip.AddrPortFrom(netip.MustParseAddr(ip), port))
			devices = append(devices, d)
		}
	}
	expect := func(d device, text string) {
		t.Helper()
		if m := d.next(); body(m) != text || !strings.HasPrefix(header(m, "Via"), d.via) {
			t.Errorf("%s received %q with Via %s, want %q and %s", d.aor, body(m), header(m, "Via"), text, d.via)
		}
	}
	a := at("udp", "127.0.0.3", "alice")
	for _, d := range devices {
		if got := a.message(d.aor, "stored"); got != 202 {
			t.Errorf("%s: answered %d", d.aor, got)
		}
		d.register(300)
		expect(d, "stored")
		s.eventually("the row's end", func() bool { return s.stored() == 0 })
		if got := a.message(d.aor, "relayed"); got != 200 {
			t.Errorf("%s: answered %d", d.aor, got)
		}
		expect(d, "relayed")
	}
	s.stop()
	s = serveIn(t, dir, listen, config...)
	a = at("udp", "127.0.0.4", "alice")
	for _, d := range devices {
		if d.conn.LocalAddr().Network() != "udp" {
			continue // its connection is closed
		}
		if got := a.message(d.aor, "restarted"); got != 200 {
			t.Errorf("%s: answered %d", d.aor, got)
		}
		expect(d, "restarted")
	}
}
