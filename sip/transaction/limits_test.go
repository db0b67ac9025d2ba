package transaction

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"silod/sip/transport"
)

func TestSourceRate(t *testing.T) {
	s, udp, _ := runLayers(t, config{Limits: transport.Limits{SourceRate: 5}}, serve(func(tx *ServerTx) { tx.Respond(200, "") }))
	c := dial(t, "udp", udp)
	for i := range 50 {
		send(t, c, message(c, "z9hG4bK"+strings.Repeat("x", i+1)))
	}
	for s.sockets.Stats.Limited.Value()+s.Stats.Requests.Value() < 50 {
		time.Sleep(time.Millisecond)
	}
	if n := s.Stats.Requests.Value(); n < 10 || n > 20 {
		t.Errorf("%d of 50 requests were accepted", n)
	}
}

// TestSTUN checks the answer to a STUN Binding request (RFC 5389).
func TestSTUN(t *testing.T) {
	_, udp, _ := runLayers(t, config{}, serve(func(*ServerTx) {}))
	c := dial(t, "udp", udp)
	q := "\x00\x01\x00\x00\x21\x12\xa4\x42transaction1"
	send(t, c, q)
	r := []byte(receive(t, c, timeout))
	if len(r) != 32 || string(r[4:20]) != q[4:20] || binary.BigEndian.Uint16(r) != 0x0101 {
		t.Fatalf("answered %q", r)
	}
	local := netip.MustParseAddrPort(c.LocalAddr().String())
	port := binary.BigEndian.Uint16(r[26:]) ^ 0x2112
	ip := netip.AddrFrom4([4]byte{r[28] ^ 0x21, r[29] ^ 0x12, r[30] ^ 0xa4, r[31] ^ 0x42})
	if netip.AddrPortFrom(ip, port) != local {
		t.Errorf("the address in the answer is %s:%d, want %s", ip, port, local)
	}
}
