package imc

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"silod/delivery"
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

	givenUp atomic.Bool // a closed room whose remaining entries are not delivered any more
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
	stored    bool                               // false while the room is being created
	members   []*member                          // in the order in which they were added
	index     map[sip.AoR]*member                // nil while there are few members, see find
	joined    int                                // number of members that have joined
	outside   int                                // number of users that are banned, or muted and not members
	sanctions int                                // number of banned and muted users
	nextEnd   time.Time                          // when the first sanction ends; zero: never
	nicks     atomic.Pointer[map[sip.AoR]string] // of the members that have one, nil if none has; never written to

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
	room *room

	// withdrawn is the Seq of the last entry that must not be sent any more, although it may have
	// been read before: the highest one while the user is not a member.
	withdrawn atomic.Int64

	away    atomic.Bool // was not online when an entry could be sent; see WrapSender
	skipped *skipped    // nil: none

	inFlight     []inFlight // in the order of Seq; nil in an idle room
	cursorQueued bool       // waits in the cursorWriter
}

// joined reports whether the user gets the room's messages, being neither invited nor
// banned. It is false for a nil member.
func (m *member) joined() bool { return m != nil && m.Member.joined() }

func (m *Member) joined() bool { return m.Role >= Plain && m.Role <= Owner }

func newRoom(name sip.AoR) *room {
	return &room{name: name, uri: name.String(), log: name, Room: Room{AoR: name}}
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
		if m := r.find(u); m != nil {
			m.leave()
			delete(r.index, u)
			r.members = slices.DeleteFunc(r.members, func(x *member) bool { return x == m })
		}
	}
	for _, p := range c.Put {
		if m := r.find(p.User); m != nil {
			// The cursor may have moved while the change was being written.
			was := m.Member
			switch {
			case !p.joined():
				m.leave()
			case !was.joined():
				m.withdrawn.Store(p.Cursor)
			}
			m.Member = p
			m.Cursor, m.Paused = max(p.Cursor, was.Cursor), was.Paused && m.joined()
			if was.Seen.After(p.Seen) {
				m.Seen = was.Seen
			}
			if was.isOutside() && !m.isOutside() { // added again
				r.members = append(slices.DeleteFunc(r.members, func(x *member) bool { return x == m }), m)
			}
			continue
		}
		m := &member{Member: p, room: r}
		r.members = append(r.members, m)
		r.indexMember(m)
	}
	r.countRows()
	r.setNicks()
}

// fewMembers is the number of rows up to which a room has no index: most rooms are small, and an
// index takes as much memory as their members.
const fewMembers = 16

// find returns the row of a user, nil if there is none. The caller holds stateMu or mu.
func (r *room) find(u sip.AoR) *member {
	if r.index != nil {
		return r.index[u]
	}
	for _, m := range r.members {
		if m.User == u {
			return m
		}
	}
	return nil
}

// indexMember adds a member, the last one, to the index, which is made when it is of use.
func (r *room) indexMember(m *member) {
	switch {
	case r.index != nil:
		r.index[m.User] = m
	case len(r.members) > fewMembers:
		r.index = make(map[sip.AoR]*member, 2*len(r.members))
		for _, m := range r.members {
			r.index[m.User] = m
		}
	}
}

// leave withdraws the entries that the member has not got. The caller holds mu.
func (m *member) leave() {
	m.inFlight, m.skipped = nil, nil
	m.withdrawn.Store(math.MaxInt64)
}

// Withdrawn implements delivery.Withdrawer. It takes no lock, because it is called for every
// message to every member.
func (m *member) Withdrawn(it *delivery.Item) bool { return it.Key <= m.withdrawn.Load() }

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
