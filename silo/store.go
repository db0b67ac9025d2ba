package silo

import (
	"context"
	"errors"
	"iter"
	"time"

	"silod/sip"
)

// Store keeps messages durably. db implements it on every engine. Its methods
// may be called concurrently; rows that Kamailio wrote are read like our own.
type Store interface {
	// Add commits m and sets its ID. Concurrent calls share a commit. When it
	// returns nil the message survives whatever dies next. ErrInvalid: this message
	// can never be stored (a value too long for its column); ErrBusy: not now, the
	// caller answers 503. After any error the message is not stored, and will not
	// be later.
	Add(ctx context.Context, m *Message) error

	// AddAll commits messages in their order, all or none, and sets their IDs. Errors
	// are those of Add.
	AddAll(ctx context.Context, ms []*Message) error

	// Next gives owner's oldest messages with an ID above after that are no
	// reminders, not set aside and not expired at now, oldest first.
	Next(ctx context.Context, owner sip.AoR, after int64, limit int, now time.Time) ([]Message, error)

	// NextFor is Next without what Mark has recorded for a device.
	NextFor(ctx context.Context, owner sip.AoR, device string, after int64, limit int, now time.Time) ([]Message, error)

	// Due gives reminders whose time has come, the earliest first.
	Due(ctx context.Context, now time.Time, limit int) ([]Message, error)

	// Release puts m, which gets an ID of its own, in the place of a reminder, in one
	// transaction. It tells whether there was such a reminder.
	Release(ctx context.Context, id int64, m *Message) (bool, error)

	// Delete removes a message. It may return before that is durable; done is
	// called exactly once. Concurrent calls share a commit.
	Delete(id int64, done func(error))

	// Mark records that a device has got its copy of a message, or why it will never
	// take it; the message stays for the other devices. done is as for Delete.
	Mark(id int64, device, refused string, done func(error))

	// Marks gives what Mark has recorded of a message.
	Marks(ctx context.Context, id int64) ([]Copy, error)

	// SetAside keeps a message out of Next and Due and remembers why; Requeue puts
	// it back. Both tell whether there was such a message.
	SetAside(ctx context.Context, id int64, reason string) (bool, error)
	Requeue(ctx context.Context, id int64) (bool, error)

	// Expire deletes up to limit messages whose time was over at now, and returns
	// them so that their senders can be told.
	Expire(ctx context.Context, now time.Time, limit int) ([]Message, error)

	// Count counts owner's messages without reading them: no reminders, and nothing
	// of which a device has got its copy.
	Count(ctx context.Context, owner sip.AoR) (int, error)

	// Waiting calls f for every owner that has a message in the sense of Next.
	Waiting(ctx context.Context, now time.Time, f func(sip.AoR)) error

	// Get gives one message, ErrNotFound where there is none.
	Get(ctx context.Context, id int64) (Message, error)

	// List streams what the query selects, in order of ID, without holding a
	// transaction open while the caller works.
	List(ctx context.Context, q Query) iter.Seq2[Message, error]

	// Tally counts what the query selects.
	Tally(ctx context.Context, q Query) (Totals, error)

	// Purge deletes up to limit messages that the query selects and tells how many.
	Purge(ctx context.Context, q Query, limit int) (int, error)
}

// Query selects stored messages. The zero value selects all.
type Query struct {
	Owner     sip.AoR   // zero: every owner
	From      string    // sender's URI; "": every sender
	Since     time.Time // stored at this time or later; zero: any time
	Before    time.Time // stored before this; zero: any time
	Reminders bool      // only reminders; otherwise only messages
	Both      bool      // messages and reminders
	Stuck     bool      // only those set aside
	Copied    bool      // only those of which a device has got its copy
	AfterID   int64     // IDs above this
	Limit     int       // 0: no limit
}

// Totals is what a Query selects, in sum.
type Totals struct {
	Messages, Reminders, Stuck, Owners int
	Oldest                             time.Time
}

// What a Store says, wrapped with more words.
var (
	ErrInvalid  = errors.New("message cannot be stored")
	ErrBusy     = errors.New("store is not available")
	ErrNotFound = errors.New("no such message")
)
