// Package imc implements chat rooms. Like Kamailio's module of the same name it
// takes commands such as #create and #join in the text of messages; unlike it, a
// member need not be online all the time.
//
// A room is a log, and a member is a cursor into it. A message to a room becomes
// one committed row, whatever the number of members. The messages for a member are
// made from the log when the delivery engine asks for them (Service is a
// delivery.Source): from the tail of the log, which is held in memory, or else from
// the Store. A cursor moves in memory when a message has been delivered and is
// written later, so that after a crash some messages are sent again with the same
// Call-ID. A direct message, which is for one user only, such as a reply to a
// command or an invitation, is not in the log; it is stored in the Outbox
// before the request is answered.
//
// The package does not depend on SIP transactions, registrations or SQL: Handle
// takes requests, and all else is behind the interfaces declared here.
//
// # Locks
//
// In the order in which they are taken:
//
//	room.stateMu  exclusive while the room's state changes; shared while an entry
//	              is appended or the log is read. It is the only lock that is held
//	              across calls of the Store, so that memory changes in the order of
//	              the commits. It is never held across a call of the Outbox.
//	Service.mu    the maps of rooms and users
//	room.mu       a room's memory: cursors, tail, commit queue. The Store takes it
//	              through the callback of Append, while it holds a lock of its own.
//	others        cursorWriter and unanswered each have a mutex, under which they
//	              take no other lock
//
// A room's state (its Room, its members and their roles) changes only under both
// room.stateMu and room.mu, so that holding either is enough to read it.
package imc

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"silod/im"
	"silod/limit"
	"silod/sip"
	"silod/watch"
)

// An Outbox sends messages to single users, online or not. Send stores them durably, in their
// order and in one commit, before it returns; it does not wait for their recipients. refused has
// the reason of each message that will never be sent, nil for the others; it is nil if there is
// none. After an error nothing is stored. silo.Service is the Outbox of silod.
type Outbox interface {
	Send(ctx context.Context, ms []im.Outgoing) (refused []error, err error)
}

// A Waker starts the delivery to all members of a room except one; the zero AoR excepts none.
// room identifies the room. A Waker may keep the list, which is never written to, and must
// return immediately however long the list is: a sender waits for it. delivery.Queue is a
// Waker.
type Waker interface {
	WakeAll(room any, owners []sip.AoR, except sip.AoR)
}

// Options are the dependencies of a Service. All are required but Watch, Policy, IsUser, Online and
// Left.
type Options struct {
	Store   Store
	Outbox  Outbox
	Waker   Waker
	Log     *slog.Logger
	Now     func() time.Time // the time by which entries and absent members expire
	Stamp   func() time.Time // of new entries; nil: Now
	Domains sip.Domains      // of this server
	Watch   *watch.Hub       // receives events; may be nil
	// Addresses returns the users of which an address is an alias, and the aliases of these users
	// and of the address. nil: there are no aliases.
	Addresses func(ctx context.Context, a sip.AoR) (accounts, aliases []sip.AoR, err error)
	// IsUser reports whether an address has an account or is registered; nil: not known.
	IsUser func(context.Context, sip.AoR) (bool, error)
	// Online reports whether a user has a registered device, and whether that is known at all;
	// nil: not known.
	Online  func(sip.AoR) (online, known bool)
	Left    func(sip.AoR) // has attempts to send a user a message that was withdrawn end; must not wait
	Policy  Policy        // nil: all users exist, and all senders may send to other domains
	MaxBusy int           // requests for one room that wait at the same time; 0: 1024
}

// A Service is the set of all rooms. Its methods may be called concurrently.
type Service struct {
	store        Store
	waker        Waker
	online       func(sip.AoR) (online, known bool)
	isUser       func(context.Context, sip.AoR) (bool, error)
	left         func(sip.AoR)
	hub          *watch.Hub
	log          *slog.Logger
	now          func() time.Time
	stamp        func() time.Time
	domains      sip.Domains
	addresses    func(context.Context, sip.AoR) (accounts, aliases []sip.AoR, err error)
	policy       Policy
	blocks       blockSet
	consent      consentMeters
	commands     []*command // the table; a field, because #help reads the table that it is in
	current      atomic.Pointer[Settings]
	stats        Stats
	cursors      cursorWriter
	outbox       Outbox
	sending      atomic.Int64 // direct messages that are being stored
	unanswered   unanswered
	requests     *limit.Meter[userRoom] // messages and commands
	joinAttempts *limit.Meter[userRoom] // notices to admins about attempts to join
	roomAttempts *limit.Meter[sip.AoR]  // the same, by room
	nickChanges  *limit.Meter[userRoom]
	echoed       *limit.Meter[userRoom] // repetitions of the room's messages
	busy         *limit.Crowd[sip.AoR]  // names of rooms that requests wait for
	tailBytes    atomic.Int64           // size of all tails together

	purge    purge      // of the goroutine of sweep
	history  *histories // that are being read
	loadedAt time.Time

	mu       sync.RWMutex
	rooms    map[sip.AoR]*room // by the AoR in the store; includes rooms that are being created
	users    map[sip.AoR]*user
	public   roomList // those that exist for users
	private  roomList
	invited  map[sip.AoR][]*room // the rooms to which a user is invited
	ends     map[sip.AoR]int64   // the last entry under a name that is not of the room with that name
	active   int                 // rooms that exist, without closed ones
	creating int                 // rooms with a first commit under way
	closed   closedRooms
}

// New returns a Service. It starts no goroutine and reads no rooms: see Load and Run.
func New(opt Options, set Settings) *Service {
	s := &Service{
		store: opt.Store, waker: opt.Waker, hub: opt.Watch, log: opt.Log, now: opt.Now, stamp: opt.Stamp, domains: opt.Domains,
		addresses: opt.Addresses, online: opt.Online, left: opt.Left,
		policy: opt.Policy, consent: newConsentMeters(),
		commands:     commands,
		cursors:      cursorWriter{ready: make(chan struct{}, 1)},
		outbox:       opt.Outbox,
		requests:     newRequestMeter(),
		joinAttempts: newMeter(),
		roomAttempts: limit.NewMeter[sip.AoR](maxMetered, limit.Refuse),
		nickChanges:  newMeter(),
		isUser:       opt.IsUser,
		echoed:       newMeter(),
		busy:         limit.NewCrowd[sip.AoR](cmp.Or(opt.MaxBusy, 1024)),
		rooms:        make(map[sip.AoR]*room),
		users:        make(map[sip.AoR]*user),
		invited:      make(map[sip.AoR][]*room),
		ends:         make(map[sip.AoR]int64),
		purge:        purge{kept: make(map[*room]*Position)},
		history:      newHistories(),
	}
	if s.stamp == nil {
		s.stamp = s.now
	}
	s.Configure(set)
	return s
}

// Configure replaces the settings. It may be called at any time.
func (s *Service) Configure(set Settings) { s.current.Store(&set) }

// Config returns the Config of the current settings.
func (s *Service) Config() Config { return *s.config() }

func (s *Service) settings() *Settings { return s.current.Load() }

func (s *Service) config() *Config { return &s.settings().config }
