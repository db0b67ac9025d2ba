package transport

import (
	"net"
	"sync/atomic"
	"time"

	"silod/limit"
	"silod/sip"
)

// Limits bound the sources of messages and connections. All addresses of an IPv6 /64, the
// network of one customer, are one source. The limits for connections do not apply to trusted
// peers. Zero values do not limit anything.
type Limits struct {
	SourceRate        int           // messages per second; see accepts
	SourceConnections int           // open at the same time
	SourceConnects    limit.Rate    // new connections
	SourceHandshakes  limit.Rate    // new connections over TLS
	AuthTimeout       time.Duration // life of a connection without a call of Vouch
}

// connLimits are the limits for accepted connections.
type connLimits struct {
	limits     atomic.Pointer[Limits]
	connects   *limit.Meter[limit.Network]
	handshakes *limit.Meter[limit.Network]
}

// maxMeters is the number of sources with connections that are counted.
const maxMeters = 1 << 14

func (l *Layer) setLimits(set Limits) {
	l.datagrams.rate.Store(int64(set.SourceRate))
	l.streams.rate.Store(int64(set.SourceRate))
	l.roster.configure(set.SourceConnections)
	l.connLimits.limits.Store(&set)
}

// admit counts a connection that was accepted from the peer of a flow. If that exceeds a
// limit, it returns nil. If another connection has to make room, it closes that one. That of a
// proxy is counted by settle, for its client.
func (l *Layer) admit(nc net.Conn, f sip.Flow) *acceptedConn {
	trusted, proxy := l.receiver.Trusted(f), l.isProxy(f.Remote.Addr())
	if !trusted && !proxy && !l.withinRates(f) {
		return nil
	}
	c, displaced, result := l.roster.enter(nc, f.Remote.Addr(), trusted || proxy)
	l.displace(displaced)
	if c != nil && !proxy {
		c.counted = f.Remote.Addr()
	}
	switch result {
	case full:
		l.Stats.RefusedConnects.Inc()
	case sourceFull:
		l.Stats.LimitedConnects.Inc()
	}
	return c
}

// withinRates reports whether the peer of a flow may open a connection now.
func (l *Layer) withinRates(f sip.Flow) bool {
	set, n, now := l.connLimits.limits.Load(), limit.NetworkOf(f.Remote.Addr()), time.Now()
	_, ok, _ := l.connLimits.connects.Take(n, set.SourceConnects, now)
	if ok && f.Transport.Secure() {
		_, ok, _ = l.connLimits.handshakes.Take(n, set.SourceHandshakes, now)
	}
	if !ok {
		l.Stats.LimitedConnects.Inc()
	}
	return ok
}

// displace closes a connection that makes room for another one. c may be nil.
func (l *Layer) displace(c *acceptedConn) {
	if c == nil {
		return
	}
	l.Stats.DisplacedConns.Inc()
	_ = c.Conn.Close() // the goroutine that reads it does the rest
}

// settle counts an accepted connection for the peer of a flow, unless it is counted for that
// already. It returns false if that exceeds a limit.
func (l *Layer) settle(c *acceptedConn, f sip.Flow) bool {
	if c == nil || c.counted == f.Remote.Addr() {
		return true
	}
	trusted := l.receiver.Trusted(f)
	if !trusted && !l.withinRates(f) {
		return false
	}
	displaced, ok := l.roster.move(c, f.Remote.Addr(), trusted)
	l.displace(displaced)
	if !ok {
		l.Stats.LimitedConnects.Inc()
		return false
	}
	c.counted = f.Remote.Addr()
	return true
}

// expireStrangers closes the connections that have been strangers' for too long. Neither
// keep-alives nor parts of messages prolong their time. A connection is closed when no request
// over it is in progress, so that a server of another domain gets its answer. If there always
// is one, no more are served after endTime.
func (l *Layer) expireStrangers() {
	if life := l.connLimits.limits.Load().AuthTimeout; life > 0 {
		before := time.Now().Add(-life)
		l.Stats.ExpiredConns.Add(l.roster.expire(before, before.Add(-endTime)))
	}
}

// endTime is how long a connection whose time is over serves requests if one is always in
// progress.
const endTime = 30 * time.Second

// Vouch notes that the sender of a request over a flow is not a stranger: it has authenticated
// or is trusted. Its connection then has the time of IdleTimeout.
func (l *Layer) Vouch(f sip.Flow) {
	if f.Conn == 0 {
		return
	}
	if c := l.conns.get(f); c != nil && c.accepted != nil {
		l.roster.vouch(c.accepted)
	}
}

// Prove notes that the peer of a flow over UDP has answered a challenge, so that its address
// is not forged. See Covers.
func (l *Layer) Prove(f sip.Flow) {
	if f.Transport == sip.UDP {
		l.credits.prove(f.Remote.Addr(), time.Now())
	}
}

// Limits returns the limits in force.
func (l *Layer) Limits() Limits { return *l.connLimits.limits.Load() }
