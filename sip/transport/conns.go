package transport

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"sync"

	"silod/sip"
)

// connTable holds the open streams by the number in their flow, and those that
// we opened also by where to.
type connTable struct {
	mu      sync.Mutex
	byID    map[uint64]*conn
	dialed  map[dialKey]*conn
	next    uint64
	closed  bool
	serving sync.WaitGroup // for the ends of all that were added
}

// init starts the numbers at random, so that a flow that was written down before
// a restart never fits a connection made after it.
func (t *connTable) init() {
	var b [8]byte
	_, _ = rand.Read(b[:])
	t.next = binary.BigEndian.Uint64(b[:]) >> 1
	t.byID = make(map[uint64]*conn)
	t.dialed = make(map[dialKey]*conn)
}

// add gives the connection its number; false where the table is closed.
func (t *connTable) add(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.next++
	c.flow.Conn = t.next
	t.byID[c.flow.Conn] = c
	t.serving.Add(1)
	return true
}

// markOpened remembers where a connection leads that we have opened.
func (t *connTable) markOpened(c *conn, key dialKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.dialed = key
	t.dialed[key] = c
}

// remove is true for the one caller who took it out.
func (t *connTable) remove(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[c.flow.Conn] != c {
		return false
	}
	delete(t.byID, c.flow.Conn)
	if t.dialed[c.dialed] == c {
		delete(t.dialed, c.dialed)
	}
	return true
}

func (t *connTable) get(f sip.Flow) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[f.Conn]
}

func (t *connTable) opened(key dialKey) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dialed[key]
}

func (t *connTable) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byID)
}

// open is every stream in the order in which they were opened, and whether by us.
func (t *connTable) open() []openConn {
	t.mu.Lock()
	all := make([]openConn, 0, len(t.byID))
	for _, c := range t.byID {
		all = append(all, openConn{c.flow, c.dialed != ""})
	}
	t.mu.Unlock() // what uses a flow waits for it
	slices.SortFunc(all, func(a, b openConn) int { return cmp.Compare(a.flow.Conn, b.flow.Conn) })
	return all
}

type openConn struct {
	flow sip.Flow
	ours bool
}

// secure is how many of them are encrypted.
func (t *connTable) secure() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.byID {
		if c.flow.Transport == sip.TLS || c.flow.Transport == sip.WSS {
			n++
		}
	}
	return n
}

// closeAll ends all streams and lets no more in.
func (t *connTable) closeAll() {
	t.mu.Lock()
	t.closed = true
	all := make([]*conn, 0, len(t.byID))
	for _, c := range t.byID {
		all = append(all, c)
	}
	t.mu.Unlock()
	for _, c := range all {
		go c.pipe.close() // its reader does the rest; a TLS peer that takes no goodbye delays nobody
	}
}

// Alive tells whether a flow still leads somewhere: a UDP flow always, a stream's
// while its connection is open.
func (l *Layer) Alive(f sip.Flow) bool {
	return f.Transport == sip.UDP || l.conns.get(f) != nil
}

// Connections is the number of open streams.
func (l *Layer) Connections() int { return l.conns.len() }
