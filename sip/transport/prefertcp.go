package transport

import (
	"context"
	"errors"
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
	if _, udpOnly := l.udpOnly.get(f.Remote); udpOnly && l.conns.getDialed(t.dialKey()) == nil {
		return f, false
	}
	short, cancel := context.WithTimeout(ctx, preferTimeout)
	defer cancel()
	tcp, err := l.connectStream(short, t)
	if err == nil {
		return tcp, true
	}
	if ctx.Err() == nil && !errors.Is(err, ErrBusy) && !errors.Is(err, ErrClosed) { // the cause is the peer
		l.udpOnly.put(f.Remote, struct{}{}, udpOnlyTime)
	}
	return f, false
}
