package registrar

import (
	"context"
	"errors"
	"fmt"
	"time"

	"silod/sip"
)

// A Register is a REGISTER request, parsed.
type Register struct {
	AoR      sip.AoR
	Contacts []sip.NameAddr
	Expires  int // seconds of the Expires header; negative if missing
	CallID   string
	CSeq     uint32
	Path     []string
	// Flow returns the flow over which a contact is reached, or refuses one that cannot be
	// reached. A contact that is removed is not refused.
	Flow      func(contact sip.URI) (sip.Flow, *Error)
	ViaNAT    bool // the Via shows that the client is behind a NAT
	UserAgent string
	Methods   string
}

// An Error refuses a REGISTER. It is the response to the client.
type Error struct {
	Status int
	Reason string
}

// ErrInvalid says that a Store cannot hold a binding, also not later. Errors of Save that are
// not ErrInvalid are temporary.
var ErrInvalid = errors.New("binding cannot be stored")

// ErrUnknown is the error of a Save of which the Store does not know the outcome. Its changes may
// be stored.
var ErrUnknown = errors.New("binding may be stored")

// ErrNumbers is wrapped by an error of a Store whose table can number no more rows until an
// administrator changes it.
var ErrNumbers = errors.New("the numbers for rows of a table are used up")

func (e *Error) Error() string { return fmt.Sprintf("%d %s", e.Status, e.Reason) }

// Registered is the result of a REGISTER.
type Registered struct {
	Bindings []Binding // of the AoR; not to be changed

	// Refreshed is when the bindings that the REGISTER names were last made or refreshed
	// before it, the earliest time if they differ. It is zero if the REGISTER changed
	// anything but the time at which bindings expire.
	Refreshed time.Time
}

// maxRefreshed is the largest number of contacts for Refresh: to compare very many takes longer
// than a goroutine that must not wait may spend.
const maxRefreshed = 8

// Refresh carries a REGISTER out like Update, if that takes neither the store nor a wait
// for another REGISTER: one that only refreshes or lists bindings, or is refused. So it can
// be called on a goroutine that must not wait. If ok is false, Refresh has done nothing, and
// Update must be called. The error is an *Error.
func (l *Location) Refresh(r *Register) (res Registered, ok bool, err error) {
	if len(r.Contacts) > maxRefreshed {
		return Registered{}, false, nil
	}
	var one [1]Binding
	u := l.newUpdate(clone(r.AoR))
	wanted, err := u.plan(r, one[:0])
	if err != nil {
		return Registered{}, true, err
	}
	s := l.shard(u.aor)
	if !s.update.TryLock() {
		return Registered{}, false, nil
	}
	defer s.update.Unlock()
	l.begin(s, u)
	if err := u.register(wanted); err != nil {
		return Registered{}, true, err
	}
	if len(u.changes) > 0 {
		return Registered{}, false, nil
	}
	l.adopt(s, u)
	return u.result(), true, nil
}

// Update carries a REGISTER out completely or not at all (RFC 3261 section 10.3, steps 6
// to 8). An *Error refuses it; any other error is the store's, see ErrInvalid.
func (l *Location) Update(ctx context.Context, r *Register) (res Registered, err error) {
	var one [1]Binding
	u := l.newUpdate(clone(r.AoR))
	wanted, err := u.plan(r, one[:0])
	if err != nil {
		return Registered{}, err
	}
	s := l.shard(u.aor)
	defer func() { l.dropClosed(ctx, res.Bindings) }() // after the unlock
	rest, cancel, err := s.lockForUpdate(ctx)
	if err != nil {
		return Registered{}, err
	}
	defer s.update.Unlock()
	defer cancel()
	l.begin(s, u)
	if err := u.register(wanted); err != nil {
		return Registered{}, err
	}
	if err := l.commit(rest, s, u); err != nil {
		return Registered{}, err
	}
	return u.result(), nil
}

// newUpdate returns an update of an AoR's bindings, which begins with begin.
func (l *Location) newUpdate(a sip.AoR) *update {
	return &update{aor: a, set: l.settings.Load(), now: l.opt.Now()}
}

// begin starts an update: it copies the bindings that have not expired, and removes the others.
// s.update is held.
func (l *Location) begin(s *shard, u *update) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	known := s.users[u.aor]
	u.bindings = make([]Binding, 0, len(known))
	for i := range known {
		if b := &known[i]; b.Expires.After(u.now) {
			u.bindings = append(u.bindings, *b)
		} else {
			u.remove(b)
			u.expired++
		}
	}
	u.changes = ours(u.changes)
}

// commit writes the changes of an update to the store, and then adopts the result. With
// an error it changes nothing. s.update is held.
func (l *Location) commit(ctx context.Context, s *shard, u *update) error {
	if err := l.save(ctx, u.changes); err != nil {
		if errors.Is(err, ErrUnknown) {
			s.rewrite(u)
		}
		return fmt.Errorf("save bindings: %w", err)
	}
	l.adopt(s, u)
	return nil
}

// adopt makes the result of an update the bindings of its AoR, in memory. s.update is
// held.
func (l *Location) adopt(s *shard, u *update) {
	for i := range u.changes {
		if c := &u.changes[i]; !c.Removed {
			l.flows.add(c.Binding.Flow, u.aor)
		}
	}
	for _, flow := range u.left {
		l.leave(flow, u.aor, u.bindings)
	}
	l.Expired.Add(u.expired)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range u.changes {
		delete(s.dirty, u.changes[i].Binding.RUID)
	}
	for _, ruid := range u.refreshed {
		s.dirty[ruid] = u.aor
	}
	s.set(u.aor, u.bindings)
}
