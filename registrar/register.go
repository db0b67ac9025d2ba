package registrar

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unique"

	"silod/sip"
)

// Register is one REGISTER request, taken apart.
type Register struct {
	AoR       sip.AoR
	Contacts  []sip.NameAddr
	Expires   int // the Expires header in seconds; below 0: none
	CallID    string
	CSeq      uint32
	Path      []string
	Flow      func(contact sip.URI) string // where a contact is reached
	UserAgent string
	Methods   string
	Wait      func() // called before the store, or another REGISTER, is waited for; may be nil
}

// Error is a refusal, as the SIP answer that the client gets.
type Error struct {
	Status     int
	Reason     string
	MinExpires int // seconds, with 423
}

func (e *Error) Error() string { return fmt.Sprintf("%d %s", e.Status, e.Reason) }

// Registered is what a REGISTER has led to.
type Registered struct {
	Bindings []Binding // all that the AoR has now; not to be changed
	// Refreshed is when the bindings were made or refreshed before, the oldest of those
	// that the REGISTER names; zero where anything but their end has changed.
	Refreshed time.Time
}

// Update carries a REGISTER out (RFC 3261 section 10.3, steps 6 to 8): all of it
// or nothing. An *Error is the client's fault; any other error is the store's, and
// nothing was changed.
func (l *Location) Update(ctx context.Context, r *Register) (Registered, error) {
	if err := checkStar(r); err != nil {
		return Registered{}, err
	}
	a := own(r.AoR)
	s := l.shard(a)
	wait := r.Wait
	if wait == nil {
		wait = func() {}
	}
	if !s.update.TryLock() {
		wait()
		s.update.Lock()
	}
	defer s.update.Unlock()
	u := l.begin(s, a)
	u.r = r
	if err := u.apply(); err != nil {
		return Registered{}, err
	}
	if len(u.changes) > 0 {
		wait()
	}
	if err := l.commit(ctx, s, a, u); err != nil {
		return Registered{}, err
	}
	res := Registered{Bindings: u.bindings}
	if len(u.changes) == 0 {
		res.Refreshed = u.before
	}
	return res, nil
}

// begin starts an update on a copy of an AoR's bindings, from which it removes those
// that have expired. s.update is held.
func (l *Location) begin(s *shard, a sip.AoR) *update {
	u := &update{aor: a, rules: l.rules.Load(), now: l.opt.Now()}
	s.mu.RLock()
	defer s.mu.RUnlock()
	known := s.users[a]
	u.bindings = make([]Binding, 0, len(known))
	for i := range known {
		if b := &known[i]; b.Expires.After(u.now) {
			u.bindings = append(u.bindings, *b)
		} else {
			u.remove(b)
			l.Expired.Inc()
		}
	}
	return u
}

// checkStar: "Contact: *" stands alone and with Expires: 0 (step 6).
func checkStar(r *Register) error {
	for _, c := range r.Contacts {
		if c.Star && (len(r.Contacts) > 1 || r.Expires != 0) {
			return &Error{Status: 400, Reason: "Contact * needs Expires: 0 and no other contact"}
		}
	}
	return nil
}

// update works one REGISTER out on a copy of the bindings.
type update struct {
	aor      sip.AoR
	r        *Register
	rules    *Rules
	now      time.Time
	bindings []Binding

	changes   []Change  // to be written before the answer
	refreshed []string  // RUIDs of which only the end has moved: written later, many at once
	before    time.Time // when the first of them was refreshed last
	left      []string  // flows over which there was a binding
	bound     int       // contacts that were not removed
	flow      bool      // one of them has a reg-id
}

// mostInOne is how many contacts one REGISTER may name: each is compared with all
// others of the AoR.
const mostInOne = 100

func (u *update) apply() error {
	if len(u.r.Contacts) > mostInOne {
		return &Error{Status: 400, Reason: fmt.Sprintf("Too many contacts in one request, %d are allowed", mostInOne)}
	}
	if len(u.r.Contacts) == 1 && u.r.Contacts[0].Star {
		return u.removeAll()
	}
	for _, c := range u.r.Contacts {
		if err := u.contact(c); err != nil {
			return err
		}
	}
	if u.bound > 1 && u.flow {
		// RFC 5626 section 6: all of them would be one device over one flow.
		return &Error{Status: 400, Reason: "A REGISTER with reg-id is for one contact"}
	}
	if u.rules.Most > 0 && len(u.bindings) > u.rules.Most {
		return &Error{Status: 403, Reason: fmt.Sprintf("Too many contacts, %d are allowed", u.rules.Most)}
	}
	return nil
}

func (u *update) removeAll() error {
	for i := range u.bindings {
		if err := u.inOrder(&u.bindings[i]); err != nil {
			return err
		}
		u.remove(&u.bindings[i])
	}
	u.bindings = nil
	return nil
}

func (u *update) remove(b *Binding) {
	u.changes = append(u.changes, Change{AoR: u.aor, Binding: *b, Removed: true})
	u.left = append(u.left, b.Flow)
}

// inOrder refuses a REGISTER that was overtaken by a later one of the same client
// (step 7: same Call-ID and a CSeq that is not higher).
func (u *update) inOrder(b *Binding) error {
	if b.CallID == u.r.CallID && u.r.CSeq <= b.CSeq {
		return &Error{Status: 500, Reason: "REGISTER is out of order, a later one was already carried out"}
	}
	return nil
}

func (u *update) contact(c sip.NameAddr) error {
	life, err := u.life(c)
	if err != nil {
		return err
	}
	b := u.binding(c, life)
	if life > 0 {
		u.bound++
		u.flow = u.flow || b.RegID != 0
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
	if err := u.inOrder(old); err != nil {
		return err
	}
	if life == 0 {
		u.remove(old)
		u.bindings = append(u.bindings[:i:i], u.bindings[i+1:]...)
		return nil
	}
	b.RUID = old.RUID
	if same(&b, old) && old.Expires.Sub(u.now) > writeAhead {
		u.refreshed = append(u.refreshed, b.RUID)
		if u.before.IsZero() || old.Modified.Before(u.before) {
			u.before = old.Modified
		}
	} else {
		u.changes = append(u.changes, Change{AoR: u.aor, Binding: b})
		u.left = append(u.left, old.Flow)
	}
	*old = b
	return nil
}

// writeAhead is how long what is in the store must still be good for, to leave a
// refresh to a later, common write.
const writeAhead = flushEvery + 5*time.Second

// same tells whether nothing but time and the counting of requests is between two
// bindings.
func same(a, b *Binding) bool {
	return a.Contact == b.Contact && a.Flow == b.Flow && a.Params == b.Params && a.Q == b.Q && a.CallID == b.CallID &&
		a.Instance == b.Instance && a.RegID == b.RegID && a.UserAgent == b.UserAgent && a.Methods == b.Methods &&
		slices.Equal(a.Path, b.Path)
}

// find looks for the binding that a contact replaces: that of the same instance
// and reg-id, else one with an equal URI. Flows of outbound are told apart by
// instance and reg-id alone: a device has the same URI in all of them, and another
// device may have it behind another NAT (RFC 5626 section 6).
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

// life is how long a contact is to be bound: its expires parameter, else the
// Expires header, else the default; 0 removes it.
func (u *update) life(c sip.NameAddr) (time.Duration, error) {
	secs := u.r.Expires
	if p, ok := c.Params.Get("expires"); ok {
		// A value that is no number counts as 3600 (RFC 3261 section 10.2.1.1).
		secs = 3600
		if n, err := strconv.ParseUint(p, 10, 32); err == nil {
			secs = int(n)
		}
	}
	life := u.rules.Default
	if secs >= 0 {
		life = time.Duration(secs) * time.Second
	}
	// Never for an hour or more (step 7).
	if secs > 0 && life < u.rules.Min && life < time.Hour {
		return 0, &Error{Status: 423, Reason: "Interval Too Brief", MinExpires: int(u.rules.Min / time.Second)}
	}
	if u.rules.Max > 0 {
		life = min(life, u.rules.Max)
	}
	return life, nil
}

// binding makes the binding of a contact. Texts are cloned: a part of a message
// would keep all of it in memory.
func (u *update) binding(c sip.NameAddr, life time.Duration) Binding {
	b := Binding{
		Contact:   strings.Clone(c.URI.String()),
		Q:         1,
		Expires:   u.now.Add(life),
		CallID:    strings.Clone(u.r.CallID),
		CSeq:      u.r.CSeq,
		Flow:      u.r.Flow(c.URI),
		UserAgent: shared(u.r.UserAgent),
		Methods:   shared(u.r.Methods),
		Modified:  u.now,
	}
	for _, p := range u.r.Path {
		b.Path = append(b.Path, strings.Clone(p))
	}
	if q, ok := c.Params.Get("q"); ok {
		if v, err := strconv.ParseFloat(q, 32); err == nil && v >= 0 && v <= 1 {
			b.Q = float32(math.Round(v*1000) / 1000) // a qvalue has three digits (RFC 3261 section 25.1)
		}
	}
	if m, ok := c.Params.Get("methods"); ok {
		b.Methods = shared(m)
	}
	if v, _ := c.Params.Get("+sip.instance"); v != "" {
		b.Instance = strings.Clone(v)
		// reg-id without an instance means nothing (RFC 5626 section 6).
		if id, ok := c.Params.Get("reg-id"); ok {
			n, _ := strconv.ParseUint(id, 10, 31)
			b.RegID = uint32(n)
		}
	}
	b.Params = strings.Clone(c.Params.Without("q", "expires", "+sip.instance", "reg-id").String())
	return b
}

// shared gives one copy of a text that very many bindings have in common.
func shared(s string) string { return unique.Make(s).Value() }

// own gives an AoR memory of its own.
func own(a sip.AoR) sip.AoR {
	return sip.AoR{User: strings.Clone(a.User), Domain: shared(a.Domain)}
}

// newRUID makes a name for a binding's row that no node will make again.
func newRUID() string {
	var b [12]byte
	_, _ = rand.Read(b[:])
	return "silod-" + hex.EncodeToString(b[:])
}

// ContactValue is the binding as it is listed in the 200 to a REGISTER.
func (b *Binding) ContactValue(now time.Time) string {
	var s strings.Builder
	s.WriteString("<" + b.Contact + ">")
	if b.Q != 1 {
		s.WriteString(";q=" + strconv.FormatFloat(float64(b.Q), 'g', 3, 32))
	}
	left := max(0, int(b.Expires.Sub(now)/time.Second))
	s.WriteString(";expires=" + strconv.Itoa(left))
	if b.Instance != "" {
		s.WriteString(`;+sip.instance=` + sip.Quote(b.Instance))
		if b.RegID != 0 {
			s.WriteString(";reg-id=" + strconv.Itoa(int(b.RegID)))
		}
	}
	s.WriteString(b.Params)
	return s.String()
}

// Takes tells whether the device allows a method, as far as it said: one that
// listed none allows all.
func (b *Binding) Takes(method string) bool {
	if b.Methods == "" {
		return true
	}
	for m := range strings.SplitSeq(b.Methods, ",") {
		if strings.TrimSpace(m) == method {
			return true
		}
	}
	return false
}
