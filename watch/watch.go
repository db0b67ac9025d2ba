// Package watch lets administrators follow what happens to one user or room. Those
// who do things tell a Hub of it, and the Hub passes it on to who watches, over the
// control socket. It knows nothing of what it is told.
//
// Nothing here makes anybody wait. While nobody watches, an event costs its teller
// one look at a pointer; a watcher who is slower than the events loses some, and is
// told how many.
//
// Lock: Hub.mu is held while the list of watchers is changed, and never while an
// event is passed on.
package watch

import (
	"bytes"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"silod/sip"
)

// What can happen.
const (
	Received   = "received"   // a MESSAGE came in
	Accepted   = "accepted"   // its sender got a 2xx: it will be delivered
	Rejected   = "rejected"   // its sender got another answer
	Stored     = "stored"     // it is in a mailbox, and will survive what dies next
	Said       = "said"       // it is in a room's log
	Sent       = "sent"       // it is on its way to a device
	Answered   = "answered"   // a device has answered
	Delivered  = "delivered"  // what waited is with its recipient, and out of the mailbox
	SetAside   = "set aside"  // a device has refused it for good
	Expired    = "expired"    // nobody came for it
	Registered = "registered" // a device is online, was refreshed, or has gone
)

// Event is what happened. Fields without a meaning for it are empty.
type Event struct {
	What    string
	User    sip.AoR // whom it is for, or whose it is: a user or a room
	From    string  // the sender: a From header's value, or a URI
	CallID  string
	ID      int64  // of the message in the store
	Contact string // the device
	Status  int    // of an answer
	Reason  string // of an answer, or why it was set aside
	Type    string // the Content-Type
	Body    []byte // passed on only to who has asked for it
}

// The bounds.
const (
	maxWatchers = 16
	maxWaiting  = 512 // events that wait for one watcher
)

// Hub passes events on. Make it with New; a nil Hub has no watchers.
type Hub struct {
	domains sip.Domains
	log     *slog.Logger
	now     func() time.Time
	over    chan struct{} // closed when the daemon stops
	stop    sync.Once

	watchers atomic.Pointer[[]follower] // nil: nobody watches
	mu       sync.Mutex
}

// follower is told of every event. It never waits.
type follower interface{ take(h *Hub, s *seen) }

// watcher is somebody who follows a user or a room.
type watcher struct {
	of     sip.AoR
	bodies bool
	events chan seen
	lost   atomic.Int64 // events since the last that was passed on
}

// seen is an event and what is known of it here.
type seen struct {
	Event
	at   time.Time
	from sip.AoR // who From is; zero until somebody asks
	size int
}

// sender is who From is.
func (s *seen) sender(h *Hub) sip.AoR {
	if s.from.IsZero() && s.From != "" {
		s.from, _, _ = h.domains.Parse(s.From)
	}
	return s.from
}

// New makes a Hub; domains tell which addresses are ours.
func New(domains sip.Domains, log *slog.Logger) *Hub {
	return &Hub{domains: domains, log: log, now: time.Now, over: make(chan struct{})}
}

// On tells whether anybody watches anything. Who would have to work for an Event asks
// first.
func (h *Hub) On() bool { return h != nil && h.watchers.Load() != nil }

// Tell passes an event on to those who follow its user or its sender.
func (h *Hub) Tell(e Event) {
	if !h.On() {
		return
	}
	list := h.watchers.Load()
	if list == nil {
		return
	}
	s := seen{Event: e, at: h.now(), size: len(e.Body)}
	for _, f := range *list {
		f.take(h, &s)
	}
}

// take passes on what is about the one who is followed.
func (w *watcher) take(h *Hub, e *seen) {
	if sender := e.sender(h); w.of != e.User && w.of != sender {
		return
	}
	s := *e
	if w.bodies {
		s.Body = bytes.Clone(s.Body) // its memory may be used again
	} else {
		s.Body = nil
	}
	select {
	case w.events <- s:
	default:
		w.lost.Add(1)
	}
}

// Stop ends all watching: the daemon stops.
func (h *Hub) Stop() { h.stop.Do(func() { close(h.over) }) }

// join adds a watcher, unless there are too many.
func (h *Hub) join(f follower) bool {
	return h.change(func(list []follower) []follower {
		if len(list) >= maxWatchers {
			return list
		}
		return append(list, f)
	})
}

func (h *Hub) leave(f follower) {
	h.change(func(list []follower) []follower {
		return slices.DeleteFunc(list, func(x follower) bool { return x == f })
	})
}

// change puts another list in the place of the watchers', and tells whether it is
// another.
func (h *Hub) change(f func([]follower) []follower) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []follower
	if p := h.watchers.Load(); p != nil {
		list = slices.Clone(*p)
	}
	before := len(list)
	list = f(list)
	if len(list) == 0 {
		h.watchers.Store(nil)
	} else {
		h.watchers.Store(&list)
	}
	return len(list) != before
}

// Watchers is how many watch now.
func (h *Hub) Watchers() int {
	if p := h.watchers.Load(); p != nil {
		return len(*p)
	}
	return 0
}
