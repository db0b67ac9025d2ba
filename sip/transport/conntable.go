package transport

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"sync"

	"silod/sip"
)

// A connTable holds the open connections by the number in their flow, and those that we
// opened also by their target.
type connTable struct {
	mu      sync.Mutex
	byID    map[uint64]*conn
	dialed  map[dialKey]*conn
	lastID  uint64
	closed  bool
	serving sync.WaitGroup // for conn.close of all that were added
}

// init makes the numbers start at random, so that a flow that was stored before a restart
// never matches a new connection.
func (t *connTable) init() {
	var b [8]byte
	_, _ = rand.Read(b[:])
	t.lastID = binary.BigEndian.Uint64(b[:]) >> 1
	t.byID = make(map[uint64]*conn)
	t.dialed = make(map[dialKey]*conn)
}

// add assigns a number to the connection and adds it. It returns false after closeAll.
func (t *connTable) add(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.lastID++
	c.flow.Conn = t.lastID
	t.byID[c.flow.Conn] = c
	t.serving.Add(1)
	return true
}

// setDialed records the target of a connection that we opened.
func (t *connTable) setDialed(c *conn, key dialKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.dialed = key
	t.dialed[key] = c
}

// remove removes a connection. It returns false if that has been done before.
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

// get returns the connection of a flow, or nil.
func (t *connTable) get(f sip.Flow) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[f.Conn]
}

// getDialed returns the connection that we opened to a target, or nil.
func (t *connTable) getDialed(key dialKey) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dialed[key]
}

func (t *connTable) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byID)
}

type connInfo struct {
	flow   sip.Flow
	dialed bool // opened by us
}

// list returns all connections, oldest first.
func (t *connTable) list() []connInfo {
	t.mu.Lock()
	all := make([]connInfo, 0, len(t.byID))
	for _, c := range t.byID {
		all = append(all, connInfo{c.flow, c.dialed != ""})
	}
	t.mu.Unlock() // before sorting, because all sends need the lock
	slices.SortFunc(all, func(a, b connInfo) int { return cmp.Compare(a.flow.Conn, b.flow.Conn) })
	return all
}

// encrypted returns the number of connections over TLS.
func (t *connTable) encrypted() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.byID {
		if c.flow.Transport.Secure() {
			n++
		}
	}
	return n
}

// closeAll closes all connections and makes add return false.
func (t *connTable) closeAll() {
	t.mu.Lock()
	t.closed = true
	all := make([]*conn, 0, len(t.byID))
	for _, c := range t.byID {
		all = append(all, c)
	}
	t.mu.Unlock()
	for _, c := range all {
		// The reader of the connection does the rest. Each in a goroutine, because a TLS
		// peer may delay the sending of close_notify.
		go c.pipe.close()
	}
}
