package imc

import (
	"context"
	"errors"
	"time"

	"silod/im"
	"silod/sip"
)

// A Role is the standing of a user in a room.
type Role int

// The roles. Only Plain, Admin and Owner are members; users of the other roles are stored with
// the room and do not get its messages.
const (
	Invited Role = iota
	Plain
	Admin
	Owner // exactly one in a room
	Banned
	Former // was a member and is still muted
)

// A Room is a chat room. Its AoR is in lower case.
type Room struct {
	AoR     sip.AoR
	Private bool
	Topic   string
	Created time.Time

	// Closed marks a destroyed room: it takes no messages and is hidden from users,
	// but its members and its log are kept until all members have the last entry. In
	// imc_rooms it is the documented flag 2, deleted.
	Closed bool

	Title       string
	Moderated   bool    // only the owner, admins and voiced members speak
	OpenHistory int64   // members may read entries from this Seq on, even if they joined later; 0: none
	Creator     sip.AoR // zero for an operator, and for rooms of an older silod or of other programs
}

// A Member is a user of a room and the cursor into its log.
type Member struct {
	User      sip.AoR
	Role      Role
	Muted     bool
	Voiced    bool      // speaks in a moderated room
	Paused    bool      // unreachable for too long: gets nothing until seen again
	InvitedBy sip.AoR   // is notified if the invitation is declined; zero if unknown
	Cursor    int64     // Seq of the last entry that the member has got or does not get
	Seen      time.Time // last sign of life, or when the last entry was got; zero in rows of other programs

	Since   int64   // Seq of the last entry before the user joined; 0 if unknown
	AddedBy sip.AoR // the user that has added this member, the room for an operator; zero for members that have joined themselves
	Nick    string  // the name in this room; "": none

	MutedUntil  time.Time // the end of a mute; zero: none
	BannedUntil time.Time // the end of a ban; zero: none
	Reason      string    // of the ban, or else of the mute
}

// An Entry is one row of a room's log. Its Message is the original one: From names the
// sender, CallID is that of the request that caused the entry.
type Entry struct {
	Seq  int64 // rises over all rooms in the order of commits
	Room sip.AoR
	From sip.AoR   // the sender; the room itself for a notice
	At   time.Time // when the request arrived; a Store keeps at least whole seconds
	im.Message
}

// A Cursor is the position of a member in a room's log.
type Cursor struct {
	Room, User sip.AoR
	Seq        int64
	Seen       time.Time
}

// A Position is the place of an entry in the log of all rooms.
type Position struct {
	Seq  int64
	Room sip.AoR // zero if it cannot be read
	At   time.Time
}

// A Change is a change of a room's state. It is written in one transaction, as a whole
// or not at all.
type Change struct {
	Room   Room
	Put    []Member  // members to add or update; a cursor never goes back
	Remove []sip.AoR // users to remove
	Delete bool      // delete the room, of which Remove names all members; only in an Undo

	// Notice, if not nil, is appended to the room's log in the same transaction. Apply
	// sets its Seq.
	Notice *Entry

	// Undo restores the room as it was before the change. A Store that has returned an error
	// without knowing the outcome makes it if the change turns out to be committed.
	Undo *Change
}

// A Store keeps rooms durably, in Kamailio's tables imc_rooms and imc_members and in
// tables of our own for the rest. Package db implements it. After an error nothing was
// written, nor will be later, or it is undone before anything else is written. Errors wrap ErrInvalid or ErrBusy where one applies.
type Store interface {
	// Load calls f for every room with its members, in the order in which they were
	// added. It calls skip for a row that cannot be read and continues.
	Load(ctx context.Context, f func(Room, []Member), skip func(error)) error

	// Apply commits a change.
	Apply(ctx context.Context, c Change) error

	// Append commits an entry and sets its Seq. Concurrent calls may share a commit.
	// Append calls queued at most once, under a lock of the Store, when the position
	// of the entry is certain: Seqs rise in the order of these calls.
	Append(ctx context.Context, e *Entry, queued func()) error

	// Ends calls f for every room that has entries, with the Seq of the newest one.
	Ends(ctx context.Context, f func(room sip.AoR, last int64)) error

	// Log returns at most limit entries of a room with a Seq above after, oldest first.
	Log(ctx context.Context, room sip.AoR, after int64, limit int) ([]Entry, error)

	// Recent returns the last entries of a room with a Seq above after, at most limit,
	// oldest first. They begin with the first one that is not older than since. If they are
	// large, Recent returns fewer. Its cost does not depend on the number of other entries.
	Recent(ctx context.Context, room sip.AoR, after int64, since time.Time, limit int) ([]Entry, error)

	// Seqs returns the Seqs of the last entries of a room with a Seq above after, at most limit,
	// newest first.
	Seqs(ctx context.Context, room sip.AoR, after int64, limit int) ([]int64, error)

	// Positions returns the positions of at most limit entries with a Seq above after, in
	// the order of their Seqs: those of a room, or of all rooms for the zero AoR.
	Positions(ctx context.Context, room sip.AoR, after int64, limit int) ([]Position, error)

	// Oldest returns the positions of at most limit entries of the time between from and
	// before, in the order of time. LastBefore returns the Seq of the newest entry that is
	// older than before, 0 if there is none.
	Oldest(ctx context.Context, from, before time.Time, limit int) ([]Position, error)
	LastBefore(ctx context.Context, before time.Time) (int64, error)

	// DeleteEntries deletes entries. Those that do not exist are ignored.
	DeleteEntries(ctx context.Context, seqs []int64) error

	// SaveCursors commits cursors. A cursor never goes back. Cursors of users that are
	// not members any more are ignored.
	SaveCursors(ctx context.Context, cs []Cursor) error

	// Blocks calls f for every block: target is the room or user that a user blocks, or a mark of
	// package imc, which is not an address. It calls skip for a row that cannot be read and continues.
	Blocks(ctx context.Context, f func(user, target sip.AoR), skip func(error)) error

	// SetBlock commits a block, or deletes it.
	SetBlock(ctx context.Context, user, target sip.AoR, on bool) error

	// Erase deletes at most limit members of a room without entries, and the room itself
	// together with the last ones. It reports whether the room is deleted.
	Erase(ctx context.Context, room sip.AoR, limit int) (done bool, err error)
}

// Errors of a Store, which it wraps.
var (
	ErrInvalid = errors.New("entry cannot be stored") // it never can
	ErrBusy    = errors.New("store is not available")
	ErrNumbers = errors.New("the numbers for rows of a table are used up") // together with ErrBusy
)
