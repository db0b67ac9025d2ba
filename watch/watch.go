// Package watch lets administrators follow the events of one user or room over the control
// socket. Other packages publish events to a Hub, which sends them to the watchers.
//
// Publishing does not wait. Without watchers it loads one pointer. A watcher that is slower
// than the events loses some, and receives their number.
//
// Lock: Hub.mu is held while the list of followers changes, and not while an event is
// published. tally.mu is held for one event, or to begin the next interval.
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

// The events.
const (
	Received   = "received"   // a MESSAGE was received
	Accepted   = "accepted"   // its sender got a 2xx: it will be delivered
	Rejected   = "rejected"   // its sender got another response
	Stored     = "stored"     // it is committed to a mailbox
	Said       = "said"       // it is committed to a room's log
	Sent       = "sent"       // it was sent to a device
	Answered   = "answered"   // a device has responded
	Delivered  = "delivered"  // a stored message was delivered and removed from the mailbox
	SetAside   = "set aside"  // a device has rejected it permanently
	Expired    = "expired"    // it was not delivered in time
	Registered = "registered" // a binding was added, refreshed or removed
)

// An Event describes one event. Fields that do not apply to it are empty.
type Event struct {
	What    string  // one of the constants above
	User    sip.AoR // the recipient, or the owner of the mailbox or binding: a user or a room
	From    string  // the sender: a From header field's value, or a URI
	CallID  string
	ID      int64  // of the message in the store
	Contact string // URI of the device
	Status  int    // of a response
	Reason  string // of a response, or for setting the message aside
	Type    string // the Content-Type
	Body    []byte // sent only to watchers that have asked for bodies
}

// The limits of a Hub.
const (
	maxWatchers = 16
	maxWaiting  = 512 // events that wait for one watcher
)

// A Hub sends events to watchers. A nil Hub has none.
type Hub struct {
	domains sip.Domains
	log     *slog.Logger
	now     func() time.Time
	done    chan struct{} // closed when the daemon stops
	stop    sync.Once

	followers atomic.Pointer[[]follower] // nil: none
	mu        sync.Mutex                 // held while followers changes
}

// A follower receives every event. It must not wait.
type follower interface{ receive(h *Hub, s *published) }

// A watcher is a client that follows a user or a room.
type watcher struct {
	of     sip.AoR
	bodies bool
	events chan published
	lost   atomic.Int64 // events that were dropped and not yet reported to the client
}

// published is an event with data that the Hub adds.
type published struct {
	Event
	at   time.Time
	from sip.AoR // of From; zero until sender is called
	size int
}

// sender returns the address in From.
func (s *published) sender(h *Hub) sip.AoR {
	if s.from.IsZero() && s.From != "" {
		s.from, _, _ = h.domains.Parse(s.From)
	}
	return s.from
}

// New returns a Hub. domains are those of this server.
func New(domains sip.Domains, log *slog.Logger) *Hub {
	return &Hub{domains: domains, log: log, now: time.Now, done: make(chan struct{})}
}

// Active reports whether there are watchers. A caller for which an Event is expensive to
// make calls it first.
func (h *Hub) Active() bool { return h != nil && h.followers.Load() != nil }

// Publish sends an event to the watchers of its user and of its sender.
func (h *Hub) Publish(e Event) {
	if !h.Active() {
		return
	}
	list := h.followers.Load()
	if list == nil {
		return
	}
	s := published{Event: e, at: h.now(), size: len(e.Body)}
	for _, f := range *list {
		f.receive(h, &s)
	}
}

// receive queues an event for the client if it is of the user or room that it follows.
func (w *watcher) receive(h *Hub, e *published) {
	if sender := e.sender(h); w.of != e.User && w.of != sender {
		return
	}
	s := *e
	if w.bodies {
		s.Body = bytes.Clone(s.Body) // the caller may reuse its memory
	} else {
		s.Body = nil
	}
	select {
	case w.events <- s:
	default:
		w.lost.Add(1)
	}
}

// Stop ends all watch commands.
func (h *Hub) Stop() { h.stop.Do(func() { close(h.done) }) }

// join adds a follower. It reports false if there are too many.
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

// change replaces the list of followers by the result of f, which may write to its
// argument, and reports whether their number has changed.
func (h *Hub) change(f func([]follower) []follower) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []follower
	if p := h.followers.Load(); p != nil {
		list = slices.Clone(*p)
	}
	before := len(list)
	list = f(list)
	if len(list) == 0 {
		h.followers.Store(nil)
	} else {
		h.followers.Store(&list)
	}
	return len(list) != before
}

// Watchers returns the number of commands that follow events: watch and busiest.
func (h *Hub) Watchers() int {
	if p := h.followers.Load(); p != nil {
		return len(*p)
	}
	return 0
}
