package registrar

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"silod/sip"
)

// An update works out one change to an AoR's bindings, on a copy of them.
type update struct {
	aor      sip.AoR
	r        *Register
	set      *Settings
	now      time.Time
	bindings []Binding

	changes   []Change   // to be written before the answer
	refreshed []string   // RUIDs of bindings that differ only in their times: written later, together
	oldest    time.Time  // earliest Modified of those before the refresh
	left      []sip.Flow // flows over which there was a binding
	expired   int        // bindings that were removed because they have expired

	grown bool // there is a new binding, or a larger one

	keys map[string]sip.URIKey // of contacts, as far as they were needed
}

// Limits of the work of one REGISTER, whose contacts are each compared with all bindings of
// the AoR, and of the memory of one AoR.
const (
	maxContactsPerRequest = 100
	maxContacts           = 100 // of an AoR, if the settings have no limit
	maxBytes              = 1 << 20
)

// plan checks a REGISTER and appends the bindings that it asks for to wanted, each contact once;
// those to be removed end now. No lock is held: a large request takes long, and others would
// wait. The error is an *Error.
func (u *update) plan(r *Register, wanted []Binding) ([]Binding, error) {
	u.r = r
	if err := u.check(); err != nil || u.removesAll() {
		return nil, err
	}
	for _, c := range r.Contacts {
		b, err := newBinding(r, c, u.now, u.life(c))
		if err != nil {
			return nil, err
		}
		wanted = append(u.merge(wanted, &b), b)
	}
	bound, outbound := 0, false
	for i := range wanted {
		if b := &wanted[i]; !u.removes(b) {
			bound++
			outbound = outbound || b.RegID != 0
		}
	}
	if bound > 1 && outbound {
		// RFC 5626 section 6: all of them would be one device over one flow.
		return nil, &Error{Status: 400, Reason: "A REGISTER with reg-id is for one contact"}
	}
	return wanted, nil
}

// removesAll reports whether the REGISTER has "Contact: *".
func (u *update) removesAll() bool { return len(u.r.Contacts) == 1 && u.r.Contacts[0].Star }

// register carries the planned REGISTER out on the copy. The error is an *Error.
func (u *update) register(wanted []Binding) error {
	if u.removesAll() {
		return u.removeAll()
	}
	// After a change of its address, a client binds the new contact and removes the old one,
	// both with the same instance and reg-id. So bindings are removed before others are made.
	for _, removes := range [...]bool{true, false} {
		for i := range wanted {
			if b := &wanted[i]; u.removes(b) != removes {
				continue
			} else if err := u.apply(b); err != nil {
				return err
			}
		}
	}
	if u.grown {
		return u.makeRoom()
	}
	return nil
}

// check refuses "Contact: *" with another contact or without Expires: 0 (step 6), and a
// REGISTER with too many contacts.
func (u *update) check() error {
	for _, c := range u.r.Contacts {
		if c.Star && (len(u.r.Contacts) > 1 || u.r.Expires != 0) {
			return &Error{Status: 400, Reason: "Contact * needs Expires: 0 and no other contact"}
		}
	}
	if len(u.r.Contacts) > maxContactsPerRequest {
		return &Error{Status: 400, Reason: fmt.Sprintf("Too many contacts in one request, %d are allowed", maxContactsPerRequest)}
	}
	return nil
}

// result returns the result of an update that was adopted.
func (u *update) result() Registered {
	res := Registered{Bindings: u.bindings}
	if len(u.changes) == 0 {
		res.Refreshed = u.oldest
	}
	return res
}

// removeAll carries out "Contact: *": it removes all bindings, or none if the REGISTER is out
// of order for one of them.
func (u *update) removeAll() error {
	for i := range u.bindings {
		if err := u.checkOrder(&u.bindings[i]); err != nil {
			return err
		}
		u.remove(&u.bindings[i])
	}
	u.bindings = nil
	return nil
}

// remove records that a binding is removed; the caller removes it from u.bindings.
func (u *update) remove(b *Binding) {
	u.changes = append(u.changes, Change{AoR: u.aor, Binding: *b, Removed: true})
	u.left = append(u.left, b.Flow)
}

// checkOrder refuses a REGISTER that arrives after a later one of the same client: it has
// the Call-ID of the binding and a CSeq that is not higher (step 7).
func (u *update) checkOrder(b *Binding) error {
	if b.CallID == u.r.CallID && u.r.CSeq <= b.CSeq {
		return &Error{Status: 500, Reason: "REGISTER is out of order, a later one was already carried out"}
	}
	return nil
}

// removes reports whether a wanted binding is to be removed.
func (u *update) removes(b *Binding) bool { return !b.Expires.After(u.now) }

// merge removes the bindings from wanted that b, which is named after them, overrides: some
// clients name a contact twice.
func (u *update) merge(wanted []Binding, b *Binding) []Binding {
	left := wanted[:0]
	for i := range wanted {
		w := &wanted[i]
		if w.RegID != 0 && b.RegID != 0 && !sameFlow(w, b) || !u.equal(w, b) {
			left = append(left, *w)
		}
	}
	return left
}

// apply adds, refreshes, changes or removes a binding.
func (u *update) apply(b *Binding) error {
	i := u.find(b)
	if i < 0 {
		if u.removes(b) {
			return nil
		}
		b.RUID = newRUID()
		u.bindings = append(u.bindings, *b)
		u.changes = append(u.changes, Change{AoR: u.aor, Binding: *b})
		u.grown = true
		return nil
	}
	old := &u.bindings[i]
	if err := u.checkOrder(old); err != nil {
		return err
	}
	if u.removes(b) {
		u.remove(old)
		u.bindings = append(u.bindings[:i:i], u.bindings[i+1:]...)
		return nil
	}
	b.RUID = old.RUID
	if b.Contact == old.Contact {
		b.key = old.key
	}
	if onlyTimesDiffer(b, old) && old.Expires.Sub(u.now) > writeAhead {
		u.refreshed = append(u.refreshed, b.RUID)
		if u.oldest.IsZero() || old.Modified.Before(u.oldest) {
			u.oldest = old.Modified
		}
	} else {
		u.changes = append(u.changes, Change{AoR: u.aor, Binding: *b})
		u.left = append(u.left, old.Flow)
	}
	u.grown = u.grown || b.size() > old.size()
	*old = *b
	return nil
}

// makeRoom keeps the AoR within its limits after a REGISTER that has added to it. Without a
// limit in the settings it displaces bindings, because programs that register a new contact at
// each start would lock their user out. A configured limit refuses, as in Kamailio: the operator
// wants no more devices. The error is an *Error.
func (u *update) makeRoom() error {
	limit := u.set.MaxContacts
	if limit == 0 {
		u.displace(len(u.bindings) - maxContacts)
	} else if len(u.bindings) > limit {
		return &Error{Status: 403, Reason: fmt.Sprintf("Too many contacts, %d are allowed", limit)}
	}
	bytes := 0
	for i := range u.bindings {
		bytes += u.bindings[i].size()
	}
	if bytes > maxBytes {
		return &Error{Status: 403, Reason: fmt.Sprintf("Too many contacts, %d bytes are allowed", maxBytes)}
	}
	return nil
}

// displace removes n bindings, none of them the REGISTER's own: those that were refreshed the
// longest time ago, and those with an open connection last. A device that is displaced although
// it is alive comes back with its next refresh, one that is gone does not.
func (u *update) displace(n int) {
	if n <= 0 {
		return
	}
	oldest := make([]*Binding, 0, len(u.bindings))
	for i := range u.bindings {
		if b := &u.bindings[i]; !b.MadeBy(u.r) {
			oldest = append(oldest, b)
		}
	}
	slices.SortStableFunc(oldest, func(a, b *Binding) int {
		return cmp.Or(cmp.Compare(connected(a), connected(b)), a.Modified.Compare(b.Modified))
	})
	displaced := make(map[string]bool, n)
	for _, b := range oldest[:min(n, len(oldest))] {
		displaced[b.RUID] = true
		u.remove(b)
	}
	u.bindings = slices.DeleteFunc(u.bindings, func(b Binding) bool { return displaced[b.RUID] })
}

// connected returns 1 for a binding over an open connection, and 0 for others. A binding over
// a closed connection has no flow.
func connected(b *Binding) int { return int(min(b.Flow.Conn, 1)) }

// writeAhead is how long before the end of a binding a refresh is written at once,
// because the next common write may be too late.
const writeAhead = flushInterval + 5*time.Second

// onlyTimesDiffer reports whether two bindings differ in no more than their times and
// CSeq.
func onlyTimesDiffer(a, b *Binding) bool {
	return a.Contact == b.Contact && a.Flow == b.Flow && a.ViaNAT == b.ViaNAT && a.Params == b.Params && a.Q == b.Q &&
		a.CallID == b.CallID && a.Instance == b.Instance && a.RegID == b.RegID && a.UserAgent == b.UserAgent && a.Methods == b.Methods &&
		slices.Equal(a.Path, b.Path)
}

// find returns the index of the binding that a wanted one replaces, or -1: the one with the
// same instance and reg-id, else the one with the same URI, else one with an equal URI. If both
// have a reg-id, only instance and reg-id count: a device has the same URI in all its flows,
// and another device may have that URI behind another NAT (RFC 5626 section 6).
func (u *update) find(b *Binding) int {
	same, byURI := -1, false
	for i := range u.bindings {
		old := &u.bindings[i]
		if b.RegID != 0 && old.RegID != 0 {
			if sameFlow(b, old) {
				return i
			}
			continue
		}
		byURI = true
		if same < 0 && old.Contact == b.Contact {
			same = i
		}
	}
	if same >= 0 || !byURI {
		return same
	}
	for i := range u.bindings {
		if old := &u.bindings[i]; (b.RegID == 0 || old.RegID == 0) && u.equal(old, b) {
			return i
		}
	}
	return -1
}

// sameFlow reports whether two bindings are the same flow of a device.
func sameFlow(a, b *Binding) bool { return a.RegID == b.RegID && a.Instance == b.Instance }

// equal reports whether the URIs of two contacts are equal by RFC 3261 section 19.1.4.
func (u *update) equal(a, b *Binding) bool {
	if a.Contact == b.Contact {
		return true
	}
	for _, x := range [...]*Binding{a, b} {
		if x.key == 0 {
			x.key = uriKey(x.Contact)
		}
	}
	return a.key == b.key && a.key != noKey && u.keyOf(a.Contact).Equal(u.keyOf(b.Contact))
}

// keyOf returns the key of a contact that can be parsed.
func (u *update) keyOf(contact string) sip.URIKey {
	k, ok := u.keys[contact]
	if ok {
		return k
	}
	if uri, err := sip.ParseURI(contact); err == nil {
		k = uri.Key()
	}
	if u.keys == nil {
		u.keys = make(map[string]sip.URIKey)
	}
	u.keys[contact] = k
	return k
}

// life returns how long a contact is to be bound: its expires parameter, else the Expires
// header, else the default, within the limits of the settings. If it is 0, the contact is to
// be removed. Like Kamailio's registrar, and other than RFC 3261 section 10.3 step 7 allows to
// do, it extends a time that is too short: many clients do not understand a 423.
func (u *update) life(c sip.NameAddr) time.Duration {
	secs := u.r.Expires
	if p, ok := c.Params.Get("expires"); ok {
		// A malformed value counts as 3600 (RFC 3261 section 10.2.1.1).
		secs = 3600
		if n, err := strconv.ParseUint(p, 10, 32); err == nil {
			secs = int(n)
		}
	}
	life := u.set.Default
	if secs >= 0 {
		life = time.Duration(secs) * time.Second
	}
	if life > 0 {
		life = max(life, u.set.Min)
	}
	if u.set.Max > 0 {
		life = min(life, u.set.Max)
	}
	return life
}
