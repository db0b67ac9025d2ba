package silo

import (
	"context"
	"errors"
	"iter"
	"time"

	"silod/sip"
)

// A Store keeps messages durably. db implements it on every engine. Its methods may be
// called concurrently. Rows that Kamailio wrote are read like those of silod.
type Store interface {
	Mailbox
	Reminders
	Archive
	Strangers
}

// A Mailbox holds the messages that wait for delivery to their owners.
type Mailbox interface {
	// Add commits m, with Stuck and Marks, and sets its ID. Concurrent calls share a commit. Once it has
	// returned nil the message survives a crash of silod and of the database. Errors are
	// ErrInvalid (m can never be stored: a value is too long for its column) and ErrBusy
	// (m cannot be stored now; the caller answers 503). After an error the message is
	// not stored and will not be stored later.
	Add(ctx context.Context, m *Message) error

	// Next returns up to limit of the owner's messages with an ID above after, oldest
	// first. It leaves out reminders, messages that were set aside, and messages that have
	// expired at now. With devices it leaves out messages that all of them have marked, see
	// Mark, and returns also those that were set aside because other devices had refused
	// them.
	Next(ctx context.Context, owner sip.AoR, devices []string, after int64, limit int, now time.Time) ([]Message, error)

	// HasMarks reports whether messages may have marks. If not, Next needs no devices.
	HasMarks() bool

	// ReadMarks sets the marks of those messages that have some. Names in devices are
	// written as they are there, others may be shortened.
	ReadMarks(ctx context.Context, ms []Message, devices []string) error

	// Waiting calls f for every owner for which Next would return a message to some device.
	Waiting(ctx context.Context, now time.Time, f func(sip.AoR)) error

	// Usage returns the number and the size of the owner's messages, without reminders and without
	// messages that were delivered to one of the owner's devices, or those of the owner's
	// reminders. from limits it to one sender, see Message.Src.
	Usage(ctx context.Context, owner sip.AoR, from string, reminders bool) (Usage, error)

	// UsageBySender calls f with the usage of each sender that has at least so many messages in all
	// mailboxes, or so many bytes. It takes long.
	UsageBySender(ctx context.Context, least Usage, f func(from string, u Usage)) error

	// Feign does the work of Add, and sets the ID of m, but leaves nothing in the store.
	Feign(ctx context.Context, m *Message) error

	// Delete removes a message. It may return before the removal is durable; then it
	// calls done, exactly once. Concurrent calls share a commit.
	Delete(id int64, done func(error))

	// Mark records that devices have received or refused a message. The message stays for
	// the other devices. Mark calls done as Delete does.
	Mark(id int64, marks []Copy, done func(error))

	// SetAside records why a message cannot be delivered, and marks it. Due leaves it out
	// until Archive.Requeue, and so does Next, unless it has marks. SetAside reports
	// whether the message exists.
	SetAside(ctx context.Context, id int64, reason string, marks []Copy) (bool, error)
}

// Reminders hold the messages that are sent at a given time.
type Reminders interface {
	// Due returns up to limit reminders that are due at now, earliest first, behind the
	// reminder after; nil: from the beginning.
	Due(ctx context.Context, now time.Time, after *Message, limit int) ([]Message, error)

	// Release replaces reminders by messages, in their order, all or none in one transaction. It
	// sets the IDs of the messages, to 0 where there is no such reminder. Errors are those of Add.
	Release(ctx context.Context, rs []Release) error
}

// A Release is the replacement of a reminder by a message.
type Release struct {
	Reminder int64 // ID
	Message  *Message
}

// Strangers are the senders of messages with a Charge.
type Strangers interface {
	// Observe sets the Observer. It must be called before the first change.
	Observe(f Observer)

	// Charges returns the charges of the messages that are stored.
	Charges(ctx context.Context) ([]Charge, error)
}

// An Archive reads and changes any stored messages, for management commands and the
// expiry.
type Archive interface {
	// AddAll commits messages in their order, all or none, and sets their IDs. Errors
	// are those of Add.
	AddAll(ctx context.Context, ms []*Message) error

	// Get returns one message, or ErrNotFound.
	Get(ctx context.Context, id int64) (Message, error)

	// List streams the messages that match the query, in order of ID. No transaction is
	// open while the caller works.
	List(ctx context.Context, q Query) iter.Seq2[Message, error]

	// Marks returns the answers of devices that Mark has recorded for a message.
	Marks(ctx context.Context, id int64) ([]Copy, error)

	// Tally counts the messages that match the query. Unlike List and Purge it counts
	// reminders beside messages, unless the query asks for reminders only. Of the messages of
	// an owner it returns no more than the numbers. Like Purge it works in slices, with pauses
	// for other work.
	Tally(ctx context.Context, q Query) (Totals, error)

	// Owners returns the number of owners of all messages and reminders.
	Owners(ctx context.Context) (int, error)

	// Requeue undoes SetAside and deletes the marks of devices that have refused. It reports
	// whether the message exists.
	Requeue(ctx context.Context, id int64) (bool, error)

	// Purge deletes up to limit messages that match the query and returns their number. Those
	// that are stored after it has begun stay.
	Purge(ctx context.Context, q Query, limit int) (int, error)

	// Tidy deletes the marks and reasons of messages that another program has deleted, and
	// returns the number of messages. It takes long.
	Tidy(ctx context.Context) (int, error)

	// Expire deletes up to limit messages that have expired at now and returns them, so
	// that their senders can be notified.
	Expire(ctx context.Context, now time.Time, limit int) ([]Message, error)
}

// A Query matches stored messages. The zero value matches every message that is not a
// reminder.
type Query struct {
	Owner     sip.AoR   // zero: every owner
	From      string    // sender's URI; "": every sender
	Since     time.Time // stored at this time or later; zero: any time
	Before    time.Time // stored before this; zero: any time
	Reminders bool      // only reminders; otherwise only messages
	Both      bool      // messages and reminders
	Stuck     bool      // only those set aside
	Copied    bool      // only those that were delivered to a device; for Purge
	AfterID   int64     // IDs above this
	Limit     int       // 0: no limit

	// SameFrom reports whether another sender's URI, in the row of another program, is a
	// spelling of From; nil: none is.
	SameFrom func(string) bool
	// Each, of Tally and Purge, is called after each slice, and returns false to end the work
	// there; nil: the work is done to its end.
	Each func(Slice) bool
}

// A Slice is a part of the messages of a store, of a limited size.
type Slice struct {
	Examined int   // messages in the slice, roughly
	Last     int64 // AfterID of the next slice
	End      bool  // there is no next slice
}

// selectsAll reports whether a query, without its limit, matches every message.
func (q *Query) selectsAll() bool {
	return q.Owner.IsZero() && q.From == "" && q.Since.IsZero() && q.Before.IsZero() && q.AfterID == 0 &&
		!q.Reminders && !q.Stuck && !q.Copied
}

// Totals are the counts of the messages that match a Query.
type Totals struct {
	Messages, Reminders, Stuck int
	Oldest                     time.Time
}

// Errors of a Store, wrapped.
var (
	ErrInvalid  = errors.New("message cannot be stored")
	ErrBusy     = errors.New("store is not available")
	ErrNumbers  = errors.New("the numbers for rows of a table are used up") // together with ErrBusy
	ErrNotFound = errors.New("no such message")
)
