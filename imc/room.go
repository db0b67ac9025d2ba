package imc

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"silod/sip"
)

// A room is a Room in memory. The package comment describes the locks.
type room struct {
	name    sip.AoR // the name that users know; never changes. Room.AoR is the name in the store
	uri     string  // name as a URI; saves formatting it for each message
	stateMu sync.RWMutex

	// log is the AoR under which the entries are stored, and base the Seq of the last entry
	// there that is of an earlier room. They change only before the room can be found.
	log  sip.AoR
	base int64

	unread  atomic.Bool // the tail may lack recent entries of the log, see loadTail
	erased  int64       // of a closed room: the entries up to this Seq are deleted
	removed bool        // no longer in Service.rooms: look the name up again; guarded by stateMu

	// copy is the copy of a closed room that was moving aside when the daemon ended, and
	// uncopied has the members that it lacks in the store. Guarded by stateMu.
	copy     *room
	uncopied []Member
	copied   []Member // the members in the copy of a room that moves aside; nil: there is no copy

	// Written under stateMu and mu.
	Room
	nicks   atomic.Pointer[map[sip.AoR]string] // of the members that have one, nil if none has; never written to
	stored  bool                               // false while the room is being created
	members []*member                          // in the order in which they were added
	index   map[sip.AoR]*member
	joined  int // number of members that have joined
	banned  int

	mu             sync.Mutex
	commitQueue    []*pendingEntry // in the order of their Seqs
	last           int64           // Seq of the newest entry
	lastAt         time.Time
	tail           []*post // the newest entries in order: all with a Seq above tailFrom; see publish
	tailFrom       int64
	tailSize       int
	expired        int64     // all entries up to this Seq are too old for every member
	cachedAudience []sip.AoR // what audience returns; made again when nil, never written to
}

// A member is a Member in memory. Its Cursor, Seen and Paused, and the fields below, are
// guarded by room.mu alone.
type member struct {
	Member
	inFlight     []inFlight // in the order of Seq; nil in an idle room
	cursorQueued bool       // waits in the cursorWriter
}

// joined reports whether the user gets the room's messages, being neither invited nor
// banned. It is false for a nil member.
func (m *member) joined() bool { return m != nil && m.Member.joined() }

func (m *Member) joined() bool { return m.Role >= Plain && m.Role <= Owner }

func newRoom(name sip.AoR) *room {
	return &room{name: name, uri: name.String(), log: name, Room: Room{AoR: name}, index: make(map[sip.AoR]*member)}
}

// storedAoR returns the AoR of the room in the store.
func (r *room) storedAoR() sip.AoR {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.AoR
}

// exists reports whether the room exists for users. The caller holds stateMu or mu.
func (r *room) exists() bool { return r.stored && !r.Closed }

// owner returns the owner, or nil if the room has none.
func (r *room) owner() *member {
	for _, m := range r.members {
		if m.Role == Owner {
			return m
		}
	}
	return nil
}

// memberCopy returns the current state of a member. The caller holds stateMu.
func (r *room) memberCopy(m *member) Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return m.Member
}

// apply makes a committed change in memory. The caller holds stateMu and mu.
func (r *room) apply(c *Change) {
	r.Room, r.stored = c.Room, true
	for _, u := range c.Remove {
		if m := r.index[u]; m != nil {
			delete(r.index, u)
			r.members = slices.DeleteFunc(r.members, func(x *member) bool { return x == m })
		}
	}
	for _, p := range c.Put {
		if m := r.index[p.User]; m != nil {
			// The cursor may have moved while the change was being written.
			was := m.Member
			m.Member = p
			m.Cursor, m.Paused = max(p.Cursor, was.Cursor), was.Paused
			if was.Seen.After(p.Seen) {
				m.Seen = was.Seen
			}
			continue
		}
		m := &member{Member: p}
		r.index[p.User] = m
		r.members = append(r.members, m)
	}
	r.cachedAudience, r.joined, r.banned = nil, 0, 0
	for _, m := range r.members {
		switch {
		case m.joined():
			r.joined++
		case m.Role == Banned:
			r.banned++
		}
	}
	r.setNicks()
}

// audience returns the members to wake for a new entry. The list is made once and
// then shared, so that waking ten thousand members does not allocate. The caller
// holds mu.
func (r *room) audience() []sip.AoR {
	if r.cachedAudience == nil {
		r.cachedAudience = make([]sip.AoR, 0, r.joined)
		for _, m := range r.members {
			if m.joined() && !m.Paused {
				r.cachedAudience = append(r.cachedAudience, m.User)
			}
		}
	}
	return r.cachedAudience
}
