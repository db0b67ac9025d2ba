package proxy

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"silod/sip"
	"silod/sip/transport"
)

// silentTargets remembers targets that have not answered in time or have accepted no
// connection. The other targets of a next hop are tried before them, so that a server that is
// down delays one message and not all (RFC 3263 section 4.3).
//
// Lock: mu.
type silentTargets struct {
	count atomic.Int32 // of until
	mu    sync.Mutex
	until map[silentTarget]time.Time
}

// A silentTarget identifies a target.
type silentTarget struct {
	transport sip.Transport
	addr      netip.AddrPort
}

const (
	silentTime = 30 * time.Second
	maxSilent  = 1000 // when there are more, all are forgotten
)

// add adds a target for silentTime.
func (s *silentTargets) add(t sip.Transport, addr netip.AddrPort, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil || len(s.until) >= maxSilent {
		s.until = make(map[silentTarget]time.Time)
	}
	s.until[silentTarget{t, addr}] = now.Add(silentTime)
	s.count.Store(int32(len(s.until)))
}

// remove removes a target that has answered.
func (s *silentTargets) remove(t sip.Transport, addr netip.AddrPort) {
	if s.count.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.until, silentTarget{t, addr})
	s.count.Store(int32(len(s.until)))
}

// last returns the targets in their order, with those that are silent behind the others.
func (s *silentTargets) last(ts []transport.Target, now time.Time) []transport.Target {
	if len(ts) < 2 || s.count.Load() == 0 {
		return ts
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	silent := func(t transport.Target) int {
		if now.Before(s.until[silentTarget{t.Transport, t.Addr}]) {
			return 1
		}
		return 0
	}
	ts = slices.Clone(ts)
	slices.SortStableFunc(ts, func(a, b transport.Target) int { return silent(a) - silent(b) })
	return ts
}
