// Package imc is the chat rooms: what Kamailio's module of that name does, with
// commands like #create and #join in the text of messages, for people who are
// not always online.
//
// A room is a log and a member is a cursor into it. What is said becomes one
// committed row, whatever the number of members; each member's messages are made
// from the log when the delivery engine asks for them (Service is a
// delivery.Source), from the tail that is held in memory or else from the Store.
// A cursor moves in memory when a message has arrived and is written lazily: after
// a crash some messages go out again, with the Call-ID that they had. What
// concerns one person only, an answer or an invitation, is no part of the log and
// leaves through the Outbox.
//
// The package knows nothing of SIP transactions, registrations or SQL: requests
// come in by Handle, everything else is behind the interfaces that it declares.
//
// # Locks
//
// In the order in which they are taken:
//
//	room.step    the room's next step. Exclusive while the room's state changes,
//	             shared while something is said or read. It is the one lock that is
//	             held across calls of the Store, so that the order of commits is
//	             the order in which memory learns of them; never while anything is
//	             sent.
//	Service.mu   the maps of rooms and users
//	room.mu      a room's memory: members' cursors, tail, line; the Store takes it to tell a place in line
//	the rest     (ledger, mailer, limiter) guard themselves and call nobody
//
// A room's state (Room, who is a member, in which role) is changed only under both
// room.step and room.mu, so that either is enough to read it.
package imc

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"silod/im"
	"silod/sip"
	"silod/watch"
)

// Outbox brings a message to one person, who need not be online: it is relayed
// or stored durably, and nil says that one of the two was done. It may take as
// long as a device may take to answer. Two messages for the same person are never
// in it at once.
type Outbox interface {
	Send(ctx context.Context, to sip.AoR, m im.Message) error
}

// Waker is told that something waits for all of owners but one, the zero AoR for
// nobody; delivery.Queue is one. It keeps the list, which nobody writes to, and must
// return at once, however long that is: a speaker waits for it.
type Waker interface {
	WakeAll(owners []sip.AoR, but sip.AoR)
}

// Options are what a Service needs. All must be given.
type Options struct {
	Store   Store
	Outbox  Outbox
	Waker   Waker
	Log     *slog.Logger
	Now     func() time.Time
	Domains sip.Domains
	Watch   *watch.Hub // told what happens; may be nil
	Config  Config     // DefaultConfig, changed as wanted
}

// Service is all the rooms. Its methods may be called concurrently.
type Service struct {
	store    Store
	waker    Waker
	hub      *watch.Hub
	log      *slog.Logger
	now      func() time.Time
	domains  sip.Domains
	settings atomic.Pointer[settings]
	stats    Stats
	ledger   ledger
	mailer   *mailer
	limiter  limiter      // of messages and commands
	knocks   limiter      // of what owners are told of those who want to come in
	tails    atomic.Int64 // bytes in all rooms' tails

	mu     sync.RWMutex
	rooms  map[sip.AoR]*room // by name, also names that are just being given to a room
	users  map[sip.AoR]*user
	live   int // rooms that exist, closed ones not counted
	making int // rooms that are being written for the first time
}

// New makes the service without starting anything. An error names the key of the
// configuration that is wrong.
func New(o Options) (*Service, error) {
	s := &Service{
		store: o.Store, waker: o.Waker, hub: o.Watch, log: o.Log, now: o.Now, domains: o.Domains,
		ledger:  ledger{due: make(chan struct{}, 1)},
		mailer:  newMailer(o.Outbox),
		limiter: limiter{period: time.Minute},
		knocks:  limiter{period: time.Hour},
		rooms:   make(map[sip.AoR]*room),
		users:   make(map[sip.AoR]*user),
	}
	if err := s.Configure(o.Config); err != nil {
		return nil, err
	}
	return s, nil
}

// Configure puts another configuration in force. After an error the old one is.
func (s *Service) Configure(c Config) error {
	apply, err := s.Prepare(c)
	if err != nil {
		return err
	}
	apply()
	return nil
}

// Prepare checks a configuration. What it gives brings it into effect.
func (s *Service) Prepare(c Config) (apply func(), err error) {
	next, err := newSettings(c)
	if err != nil {
		return nil, err
	}
	return func() { s.settings.Store(next) }, nil
}

// Config is the configuration in force.
func (s *Service) Config() Config { return s.cfg().Config }

// cfg is the configuration in force, made ready.
func (s *Service) cfg() *settings { return s.settings.Load() }

// IsRoom tells whether what is sent to an address is for Handle: a room, a name
// that a room could have, or the manager.
func (s *Service) IsRoom(a sip.AoR) bool {
	a = roomName(a)
	s.mu.RLock()
	_, known := s.rooms[a]
	s.mu.RUnlock()
	return known || s.domains.Has(a.Domain) && (s.isManager(a) || s.cfg().pattern.MatchString(a.User))
}

func (s *Service) isManager(a sip.AoR) bool {
	return s.cfg().Manager != "" && a.User == s.cfg().Manager
}

// roomName brings an AoR to the form that rooms have: lower case.
func roomName(a sip.AoR) sip.AoR {
	return sip.AoR{User: strings.ToLower(a.User), Domain: strings.ToLower(a.Domain)}
}
