package registrar

import (
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
	bound     int        // contacts that were not removed
	outbound  bool       // one of them has a reg-id
}

// maxContactsPerRequest limits the contacts of one REGISTER: each is compared with all
// bindings of the AoR.
const maxContactsPerRequest = 100

// register carries a REGISTER out on the copy. The error is an *Error.
func (u *update) register(r *Register) error {
	u.r = r
	if err := u.check(); err != nil {
		return err
	}
	if len(r.Contacts) == 1 && r.Contacts[0].Star {
		return u.removeAll()
	}
	for _, c := range r.Contacts {
		if err := u.contact(c); err != nil {
			return err
		}
	}
	if u.bound > 1 && u.outbound {
		// RFC 5626 section 6: all of them would be one device over one flow.
		return &Error{Status: 400, Reason: "A REGISTER with reg-id is for one contact"}
	}
	if u.set.MaxContacts > 0 && len(u.bindings) > u.set.MaxContacts {
		return &Error{Status: 403, Reason: fmt.Sprintf("Too many contacts, %d are allowed", u.set.MaxContacts)}
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

// contact adds, refreshes, changes or removes the binding of one contact.
func (u *update) contact(c sip.NameAddr) error {
	life, err := u.life(c)
	if err != nil {
		return err
	}
	b := newBinding(u.r, c, u.now, life)
	if life > 0 {
		u.bound++
		u.outbound = u.outbound || b.RegID != 0
	}
	i := u.find(c.URI, &b)
	if i < 0 {
		if life > 0 {
			b.RUID = newRUID()
			u.bindings = append(u.bindings, b)
			u.changes = append(u.changes, Change{AoR: u.aor, Binding: b})
		}
		return nil
	}
	old := &u.bindings[i]
	if err := u.checkOrder(old); err != nil {
		return err
	}
	if life == 0 {
		u.remove(old)
		u.bindings = append(u.bindings[:i:i], u.bindings[i+1:]...)
		return nil
	}
	b.RUID = old.RUID
	if onlyTimesDiffer(&b, old) && old.Expires.Sub(u.now) > writeAhead {
		u.refreshed = append(u.refreshed, b.RUID)
		if u.oldest.IsZero() || old.Modified.Before(u.oldest) {
			u.oldest = old.Modified
		}
	} else {
		u.changes = append(u.changes, Change{AoR: u.aor, Binding: b})
		u.left = append(u.left, old.Flow)
	}
	*old = b
	return nil
}

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

// find returns the index of the binding that a contact replaces, or -1: the one with the
// same instance and reg-id, else one with an equal URI. If both have a reg-id, only
// instance and reg-id count: a device has the same URI in all its flows, and another
// device may have that URI behind another NAT (RFC 5626 section 6).
func (u *update) find(uri sip.URI, b *Binding) int {
	equal := -1
	for i := range u.bindings {
		old := &u.bindings[i]
		if b.RegID != 0 && old.RegID != 0 {
			if b.RegID == old.RegID && b.Instance == old.Instance {
				return i
			}
			continue
		}
		if equal >= 0 {
			continue
		}
		if old.Contact == b.Contact {
			equal = i
		} else if o, err := sip.ParseURI(old.Contact); err == nil && o.Equal(uri) {
			equal = i
		}
	}
	return equal
}

// life returns how long a contact is to be bound: its expires parameter, else the
// Expires header, else the default. If it is 0, the contact is to be removed.
func (u *update) life(c sip.NameAddr) (time.Duration, error) {
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
	// A request for an hour or more is never too brief (step 7).
	if secs > 0 && life < u.set.Min && life < time.Hour {
		return 0, &Error{Status: 423, Reason: "Interval Too Brief", MinExpires: int(u.set.Min / time.Second)}
	}
	if u.set.Max > 0 {
		life = min(life, u.set.Max)
	}
	return life, nil
}
