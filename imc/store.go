package imc

import (
	"context"
	"errors"
	"time"

	"silod/im"
	"silod/sip"
)

// Role is what a member may do.
type Role int

// The roles. A Banned user is no member, but stays on record.
const (
	Invited Role = iota // asked in, not yet accepted
	Plain               // a member
	Admin
	Owner // one per room
	Banned
)

// Room is a chat room. Its AoR is lower case throughout.
type Room struct {
	AoR     sip.AoR
	Private bool
	Topic   string
	Created time.Time

	// Closed says that the room was destroyed: it takes nothing any more and is
	// shown to nobody, but its members and log stay until everybody has got the last
	// entry. In imc_rooms it is the documented flag 2, deleted.
	Closed bool
}

// Member is a user's place in a room, and the cursor into its log.
type Member struct {
	User      sip.AoR
	Role      Role
	Muted     bool
	Paused    bool      // not reachable for too long: gets nothing until seen again
	InvitedBy sip.AoR   // whom a refusal of the invitation is told; zero where unknown
	Cursor    int64     // Seq of the last entry that this member has got or needs not get
	Seen      time.Time // when last heard, reached or owed nothing; zero for a row that is not ours
}

// Entry is one row of a room's log. Its Message is as it came: From names the
// speaker, CallID is that of the request that caused the entry.
type Entry struct {
	Seq  int64 // rises over all rooms in the order of committing
	Room sip.AoR
	From sip.AoR   // who said it; the room itself for a notice
	At   time.Time // when it came in; read back, exact to the second at least
	im.Message
}

// Cursor says how far a member has got in a room.
type Cursor struct {
	Room, User sip.AoR
	Seq        int64
	Seen       time.Time
}

// Change is one committed step of a room's state: everything in it is written in
// one transaction, or nothing.
type Change struct {
	Room   Room
	Was    sip.AoR   // the AoR under which the room was kept until now, where that was another
	Delete bool      // destroy the room, its members, log and cursors
	Put    []Member  // members to be added or updated; a cursor never goes back
	Remove []sip.AoR // users to be taken out

	// Notice, where there is one, goes into the room's log in the same transaction;
	// its Seq is set as by Append.
	Notice *Entry
}

// Store keeps rooms durably: Kamailio's imc_rooms and imc_members, and our own
// tables for what they cannot hold. db implements it. After an error nothing was
// written, nor will be later.
type Store interface {
	// Load calls f for every room with its members, in the order in which they came;
	// a row that cannot be read is reported to skip and passed over, never the end of
	// the load.
	Load(ctx context.Context, f func(Room, []Member), skip func(error)) error

	// Apply commits a change.
	Apply(ctx context.Context, c Change) error

	// Append commits an entry and sets its Seq. Concurrent calls share a commit. queued
	// is called, once at most and under the store's lock, when the entry's place among
	// others is certain: their Seqs rise in the order of these calls.
	Append(ctx context.Context, e *Entry, queued func()) error

	// Log gives a room's entries with a Seq above after, oldest first.
	Log(ctx context.Context, room sip.AoR, after int64, limit int) ([]Entry, error)

	// Recent gives the last limit entries of a room not older than since, oldest first.
	Recent(ctx context.Context, room sip.AoR, since time.Time, limit int) ([]Entry, error)

	// SaveCursors commits cursors. A cursor never goes back, and one whose user is no
	// member of the room any more is passed over.
	SaveCursors(ctx context.Context, cs []Cursor) error

	// Purge deletes up to limit entries older than before, and tells how many. With
	// deliveredOnly only those that every member has got (Invited and Banned users
	// are owed nothing).
	Purge(ctx context.Context, before time.Time, deliveredOnly bool, limit int) (int, error)
}

// What a Store says, wrapped with more words.
var (
	ErrInvalid = errors.New("entry cannot be stored") // this one never, whenever it is tried
	ErrBusy    = errors.New("store is not available")
)
