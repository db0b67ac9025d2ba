package transport

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"silod/sip"
)

// MaxDatagram is the size in bytes above which a request should not be sent over UDP
// (RFC 3261 section 18.1.1, RFC 3428 section 8).
const MaxDatagram = 1300

const (
	preferTimeout = time.Second
	udpOnlyTime   = 10 * time.Minute
	maxUDPOnly    = 10_000
)

// PreferTCP returns a TCP flow to the peer of a UDP flow, for a request that is larger than
// MaxDatagram. If there is none, it returns f and false. If the peer did not accept a
// connection, PreferTCP does not try again for ten minutes.
func (l *Layer) PreferTCP(ctx context.Context, f sip.Flow) (_ sip.Flow, ok bool) {
	t := Target{Transport: sip.TCP, Addr: f.Remote}
	if l.conns.getDialed(t.dialKey()) == nil && l.udpOnly.has(f.Remote) {
		return f, false
	}
	short, cancel := context.WithTimeout(ctx, preferTimeout)
	defer cancel()
	tcp, err := l.connectStream(short, t)
	if err == nil {
		return tcp, true
	}
	if ctx.Err() == nil && !errors.Is(err, ErrBusy) && !errors.Is(err, ErrClosed) { // the cause is the peer
		l.udpOnly.add(f.Remote)
	}
	return f, false
}

// udpOnlyPeers are peers that did not accept a TCP connection.
type udpOnlyPeers struct {
	mu    sync.Mutex
	until map[netip.AddrPort]time.Time
}

func (p *udpOnlyPeers) has(a netip.AddrPort) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Before(p.until[a])
}

func (p *udpOnlyPeers) add(a netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until == nil || len(p.until) >= maxUDPOnly {
		p.until = make(map[netip.AddrPort]time.Time)
	}
	p.until[a] = time.Now().Add(udpOnlyTime)
}
