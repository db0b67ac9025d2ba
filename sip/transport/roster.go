package transport

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"silod/limit"
)

// A roster counts the open connections: all of them, and the accepted ones of each source. An
// accepted connection is a stranger's until Layer.Vouch is called for it. When a limit is
// reached, the oldest of the strangers' connections is closed to make room for a new one: no
// client keeps others out without having authenticated.
type roster struct {
	max int

	mu        sync.Mutex
	perSource int // accepted connections; 0: no limit
	open      int // with those that we opened
	sources   map[limit.Network]*sourceConns
	strangers list.List // of *acceptedConn, oldest first
}

// sourceConns are the connections of one source that is not trusted.
type sourceConns struct {
	open      int
	strangers list.List // of *acceptedConn, oldest first
}

// An acceptedConn is an accepted connection. It counts until it is closed.
type acceptedConn struct {
	net.Conn
	roster  *roster
	since   time.Time
	vouched atomic.Bool // not a stranger's
	serving serving
	counted netip.Addr // for which settle has counted it

	// Guarded by roster.mu.
	closed      bool
	source      *sourceConns  // nil: of a trusted peer
	network     limit.Network // of source
	place       *list.Element // in roster.strangers; nil: not a stranger's
	sourcePlace *list.Element // in source.strangers
}

func newRoster(maxConns int) *roster {
	return &roster{max: maxConns, sources: make(map[limit.Network]*sourceConns)}
}

// configure changes the limit for each source. Open connections stay open.
func (r *roster) configure(perSource int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.perSource = perSource
}

// An entry is the result of counting a new connection.
type entry int

const (
	entered    entry = iota
	full             // the maximum is open, and none can be closed
	sourceFull       // the same for the source
)

// enter counts an accepted connection. It returns the connection that was closed to make
// room, if there is one.
func (r *roster) enter(nc net.Conn, source netip.Addr, trusted bool) (c, displaced *acceptedConn, result entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	displaced, ok := r.roomFor(source, trusted)
	if !ok {
		return nil, nil, sourceFull
	}
	if displaced == nil && r.open >= r.max {
		if displaced = oldest(&r.strangers); displaced == nil {
			return nil, nil, full
		}
	}
	r.remove(displaced)
	c = &acceptedConn{Conn: nc, roster: r, since: time.Now()}
	r.open++
	r.assign(c, source, trusted)
	return c, displaced, entered
}

// move counts a connection for another source, such as the one for which a proxy has opened
// it. If that has too many connections, ok is false.
func (r *roster) move(c *acceptedConn, source netip.Addr, trusted bool) (displaced *acceptedConn, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.closed || c.source != nil && c.network == limit.NetworkOf(source) {
		return nil, !c.closed
	}
	if displaced, ok = r.roomFor(source, trusted); !ok {
		return nil, false
	}
	r.remove(displaced)
	r.unassign(c)
	r.assign(c, source, trusted)
	return displaced, true
}

// roomFor reports whether a source may have one more connection. If another one must be
// closed for that, it returns it. The caller holds the lock.
func (r *roster) roomFor(source netip.Addr, trusted bool) (displaced *acceptedConn, ok bool) {
	s := r.sources[limit.NetworkOf(source)]
	if trusted || s == nil || r.perSource == 0 || s.open < r.perSource {
		return nil, true
	}
	displaced = oldest(&s.strangers)
	return displaced, displaced != nil
}

// assign adds a connection to those of its source, and to the strangers. A trusted peer is
// neither. The caller holds the lock.
func (r *roster) assign(c *acceptedConn, source netip.Addr, trusted bool) {
	c.vouched.Store(trusted)
	if trusted {
		return
	}
	c.network = limit.NetworkOf(source)
	if c.source = r.sources[c.network]; c.source == nil {
		c.source = new(sourceConns)
		r.sources[c.network] = c.source
	}
	c.source.open++
	c.place, c.sourcePlace = r.strangers.PushBack(c), c.source.strangers.PushBack(c)
}

// unassign reverses assign. The caller holds the lock.
func (r *roster) unassign(c *acceptedConn) {
	r.recognize(c)
	if c.source == nil {
		return
	}
	if c.source.open--; c.source.open == 0 {
		delete(r.sources, c.network)
	}
	c.source = nil
}

// enterDialed counts a connection that we open. The caller must call leaveDialed if ok is true.
func (r *roster) enterDialed() (displaced *acceptedConn, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open >= r.max {
		if displaced = oldest(&r.strangers); displaced == nil {
			return nil, false
		}
		r.remove(displaced)
	}
	r.open++
	return displaced, true
}

func (r *roster) leaveDialed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
}

// oldest returns the first connection of a list, or nil.
func oldest(l *list.List) *acceptedConn {
	if e := l.Front(); e != nil {
		return e.Value.(*acceptedConn)
	}
	return nil
}

// remove ends the counting of a connection, which may be nil. The caller holds the lock, and
// closes the connection after it has released it.
func (r *roster) remove(c *acceptedConn) {
	if c == nil || c.closed {
		return
	}
	c.closed = true
	r.open--
	r.unassign(c)
}

// recognize takes a connection out of the lists of strangers. The caller holds the lock.
func (r *roster) recognize(c *acceptedConn) {
	if c.place == nil {
		return
	}
	r.strangers.Remove(c.place)
	c.source.strangers.Remove(c.sourcePlace)
	c.place, c.sourcePlace = nil, nil
}

// vouch notes that a connection is not a stranger's.
func (r *roster) vouch(c *acceptedConn) {
	if c.vouched.Load() || c.vouched.Swap(true) { // most calls write nothing
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recognize(c)
}

// expire closes the strangers' connections that were accepted before a time, and returns
// their number. One with a request in progress is closed later: when the last is answered, if
// it was accepted before the time force.
func (r *roster) expire(before, force time.Time) (n int) {
	r.mu.Lock()
	var expired []*acceptedConn
	for e := r.strangers.Front(); e != nil; {
		c := e.Value.(*acceptedConn)
		if !c.since.Before(before) {
			break
		}
		e = e.Next()
		ended, idle := c.serving.finish(c.since.Before(force))
		if ended {
			n++
		}
		if idle {
			r.remove(c)
			expired = append(expired, c)
		}
	}
	r.mu.Unlock()
	for _, c := range expired {
		_ = c.Conn.Close() // the goroutine that reads it does the rest
	}
	return n
}

// count returns the number of open connections, and of the strangers' ones among them.
func (r *roster) count() (open, strangers int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open, r.strangers.Len()
}

// Close closes the connection, which no longer counts.
func (c *acceptedConn) Close() error {
	c.roster.mu.Lock()
	c.roster.remove(c)
	c.roster.mu.Unlock()
	return c.Conn.Close()
}

// acceptedConnOf returns the accepted connection below the layers of a net.Conn, or nil.
func acceptedConnOf(nc net.Conn) *acceptedConn {
	for {
		switch c := nc.(type) {
		case *acceptedConn:
			return c
		case interface{ NetConn() net.Conn }: // such as *tls.Conn
			nc = c.NetConn()
		default:
			return nil
		}
	}
}
