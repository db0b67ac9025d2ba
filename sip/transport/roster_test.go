package transport

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"silod/limit"
)

// A fakeConn is a net.Conn of a client.
type fakeConn struct {
	net.Conn
	closed bool
}

func (c *fakeConn) Close() error {
	c.closed = true
	return nil
}

var (
	mallory = netip.MustParseAddr("192.0.2.66")
	phone   = netip.MustParseAddr("192.0.2.1")
)

// TestStrangersMakeRoom checks which connections are closed when limits are reached.
func TestStrangersMakeRoom(t *testing.T) {
	r := newRoster(5)
	enter := func(a netip.Addr, want *acceptedConn) *acceptedConn {
		t.Helper()
		c, displaced, result := r.enter(&fakeConn{}, a, false)
		if result != entered || displaced != want {
			t.Fatalf("result %d, displaced %v, want %v", result, displaced, want)
		}
		return c
	}
	first, second := enter(mallory, nil), enter(mallory, nil)
	known := enter(phone, nil)
	r.vouch(known)
	third, fourth := enter(mallory, nil), enter(mallory, nil)
	fifth := enter(phone, first)
	if displaced, ok := r.enterDialed(); displaced != second || !ok {
		t.Errorf("a connection that we open displaces %v", displaced)
	}
	for _, c := range []*acceptedConn{first, second} { // the reader closes it too
		_ = c.Close()
	}
	if open, strangers := r.count(); open != 5 || strangers != 3 {
		t.Errorf("%d connections, %d of strangers", open, strangers)
	}
	for _, c := range []*acceptedConn{third, fourth, fifth} {
		r.vouch(c)
	}
	if c, displaced, result := r.enter(&fakeConn{}, phone, false); c != nil || displaced != nil || result != full {
		t.Errorf("a known client made room: %v", displaced)
	}
	if _, ok := r.enterDialed(); ok {
		t.Error("we opened one too many")
	}
	r.leaveDialed()
	for _, c := range []*acceptedConn{known, third, fourth, fifth} {
		_ = c.Close()
		_ = c.Close()
	}
	if open, strangers := r.count(); open != 0 || strangers != 0 || len(r.sources) != 0 {
		t.Errorf("%d connections, %d of strangers, %d sources", open, strangers, len(r.sources))
	}
}

// TestConnectionsOfASource checks the limit for each source: a source makes room itself, and
// trusted peers have no limit.
func TestConnectionsOfASource(t *testing.T) {
	r := newRoster(100)
	r.configure(3)
	var own []*acceptedConn
	for i := range 10 {
		c, displaced, result := r.enter(&fakeConn{}, mallory, false)
		if result != entered || (i >= 3) != (displaced != nil) || displaced != nil && displaced != own[i-3] {
			t.Fatalf("connection %d: %v, %v", i, result, displaced)
		}
		own = append(own, c)
		if _, displaced, result := r.enter(&fakeConn{}, netip.MustParseAddr("192.0.2.2"), true); result != entered || displaced != nil {
			t.Fatalf("a trusted peer: %v, %v", result, displaced)
		}
	}
	for _, c := range own[7:] {
		r.vouch(c)
	}
	if _, _, result := r.enter(&fakeConn{}, mallory, false); result != sourceFull {
		t.Errorf("one too many: %v", result)
	}
	if _, displaced, result := r.enter(&fakeConn{}, phone, false); result != entered || displaced != nil {
		t.Errorf("another source: %v, %v", result, displaced)
	}
	// A proxy opens connections for the clients behind it.
	proxied, _, _ := r.enter(&fakeConn{}, netip.MustParseAddr("192.0.2.2"), true)
	if _, ok := r.move(proxied, mallory, false); ok {
		t.Error("a proxy evades the limit of a source")
	}
	if _, ok := r.move(proxied, phone, false); !ok || proxied.vouched.Load() || proxied.network != limit.NetworkOf(phone) {
		t.Error("the connection is not that of the client")
	}
	_ = proxied.Close()
	if _, ok := r.move(proxied, mallory, true); ok {
		t.Error("a closed connection was moved")
	}
}

// TestStrangersExpire checks that only connections of strangers are closed, and when.
func TestStrangersExpire(t *testing.T) {
	r := newRoster(10)
	stranger, _, _ := r.enter(&fakeConn{}, mallory, false)
	known, _, _ := r.enter(&fakeConn{}, phone, false)
	r.vouch(known)
	_, _, _ = r.enter(&fakeConn{}, phone, true)
	if n := r.expire(stranger.since, time.Time{}); n != 0 {
		t.Errorf("%d connections expired too early", n)
	}
	if n := r.expire(time.Now().Add(time.Hour), time.Time{}); n != 1 || !stranger.Conn.(*fakeConn).closed {
		t.Errorf("%d connections expired", n)
	}
	if open, strangers := r.count(); open != 2 || strangers != 0 {
		t.Errorf("%d connections, %d of strangers", open, strangers)
	}
}

// TestRosterCounts checks the sums after random operations.
func TestRosterCounts(t *testing.T) {
	r := newRoster(50)
	r.configure(7)
	var conns []*acceptedConn
	for range 20_000 {
		a := netip.AddrFrom4([4]byte{192, 0, 2, byte(rand.IntN(20))})
		switch n := rand.IntN(10); {
		case n < 5:
			if c, _, result := r.enter(&fakeConn{}, a, n == 0); result == entered {
				conns = append(conns, c)
			}
		case len(conns) == 0:
		case n < 6:
			r.vouch(conns[rand.IntN(len(conns))])
		case n < 7:
			r.move(conns[rand.IntN(len(conns))], a, false)
		default:
			i := rand.IntN(len(conns))
			_ = conns[i].Close()
			conns = append(conns[:i], conns[i+1:]...)
		}
		open, strangers, perSource := 0, 0, map[*sourceConns]int{}
		for _, c := range conns {
			if c.closed {
				continue
			}
			open++
			if c.source != nil {
				perSource[c.source]++
			}
			if c.place != nil {
				strangers++
			}
		}
		if o, s := r.count(); o != open || s != strangers || open > 50 || len(r.sources) != len(perSource) {
			t.Fatalf("%d connections, %d of strangers, want %d, %d", o, s, open, strangers)
		}
		for s, n := range perSource {
			if s.open != n || n > 7 {
				t.Fatalf("%d connections of a source, want %d", s.open, n)
			}
		}
	}
}
