package transport

import (
	"net/netip"
	"slices"
	"time"

	"silod/sip"
)

// A silentTarget identifies a target that has not answered in time or has accepted no
// connection. Resolve returns it behind the other targets of a URI, so that a server that is
// down delays one message and not all (RFC 3263 section 4.3).
type silentTarget struct {
	transport sip.Transport
	addr      netip.AddrPort
}

const (
	silentTime = 30 * time.Second
	maxSilent  = 1000
)

// Silent notes that the peer of a flow has not answered in time.
func (l *Layer) Silent(f sip.Flow) {
	l.silent.put(silentTarget{f.Transport, f.Remote}, struct{}{}, silentTime)
}

// Answered notes that the peer of a flow has answered.
func (l *Layer) Answered(f sip.Flow) { l.silent.forget(silentTarget{f.Transport, f.Remote}) }

// silentLast returns a copy of the targets, with those that are silent behind the others.
func (l *Layer) silentLast(ts []Target) []Target {
	ts = slices.Clone(ts)
	rank := func(t Target) int {
		if _, silent := l.silent.get(silentTarget{t.Transport, t.Addr}); silent {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(ts, func(a, b Target) int { return rank(a) - rank(b) })
	return ts
}
