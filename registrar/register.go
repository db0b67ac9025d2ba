package registrar

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"silod/address"
)

// Register is one REGISTER request, taken apart.
type Register struct {
	AoR       address.AoR
	Contacts  []address.NameAddr
	Expires   int // the Expires header in seconds; below 0: none
	CallID    string
	CSeq      uint32
	Path      []string
	Flow      func(contact address.URI) string // where a contact is reached
	UserAgent string
	Methods   string
}

// Error is a refusal, as the SIP answer that the client gets.
type Error struct {
	Status     int
	Reason     string
	MinExpires int // seconds, with 423
}

func (e *Error) Error() string { return fmt.Sprintf("%d %s", e.Status, e.Reason) }

// Update carries a REGISTER out (RFC 3261 section 10.3, steps 6 to 8): all of it
// or nothing. It gives all bindings that the AoR has then. An *Error is the
// client's fault; any other error is the store's, and nothing was changed.
func (l *Location) Update(ctx context.Context, r *Register) ([]Binding, error) {
	if err := checkStar(r); err != nil {
		return nil, err
	}
	s := l.shard(r.AoR)
	s.update.Lock()
	defer s.update.Unlock()
	now := l.opt.Now()
	s.mu.RLock()
	old := s.users[r.AoR]
	s.mu.RUnlock()
	u := update{r: r, opt: &l.opt, now: now, bindings: current(old, now)}
	if err := u.apply(); err != nil {
		return nil, err
	}
	if err := l.save(ctx, u.changes); err != nil {
		return nil, fmt.Errorf("save bindings: %w", err)
	}
	for i := range u.bindings {
		l.flows.add(u.bindings[i].Flow, r.AoR)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range u.changes {
		delete(s.dirty, c.Binding.RUID)
	}
	for _, c := range u.refreshed {
		s.dirty[c.Binding.RUID] = c
	}
	if len(u.bindings) == 0 {
		delete(s.users, r.AoR)
		return nil, nil
	}
	s.users[r.AoR] = u.bindings
	return append([]Binding(nil), u.bindings...), nil
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
	r        *Register
	opt      *Options
	now      time.Time
	bindings []Binding

	changes   []Change // to be written before the answer
	refreshed []Change // of which only the end has moved: written later, many at once
}

func (u *update) apply() error {
	if len(u.r.Contacts) == 1 && u.r.Contacts[0].Star {
		return u.removeAll()
	}
	for _, c := range u.r.Contacts {
		if err := u.contact(c); err != nil {
			return err
		}
	}
	if u.opt.Most > 0 && len(u.bindings) > u.opt.Most {
		return &Error{Status: 403, Reason: fmt.Sprintf("Too many contacts, %d are allowed", u.opt.Most)}
	}
	return nil
}

func (u *update) removeAll() error {
	for i := range u.bindings {
		if err := u.inOrder(&u.bindings[i]); err != nil {
			return err
		}
		u.changes = append(u.changes, Change{AoR: u.r.AoR, Binding: u.bindings[i], Removed: true})
	}
	u.bindings = nil
	return nil
}

// inOrder refuses a REGISTER that was overtaken by a later one of the same client
// (step 7: same Call-ID and a CSeq that is not higher).
func (u *update) inOrder(b *Binding) error {
	if b.CallID == u.r.CallID && u.r.CSeq <= b.CSeq {
		return &Error{Status: 500, Reason: "REGISTER is out of order, a later one was already carried out"}
	}
	return nil
}

func (u *update) contact(c address.NameAddr) error {
	life, err := u.life(c)
	if err != nil {
		return err
	}
	b := u.binding(c, life)
	i := u.find(c.URI, &b)
	if i < 0 {
		if life > 0 {
			b.RUID = newRUID()
			u.bindings = append(u.bindings, b)
			u.changes = append(u.changes, Change{AoR: u.r.AoR, Binding: b})
		}
		return nil
	}
	if err := u.inOrder(&u.bindings[i]); err != nil {
		return err
	}
	b.RUID = u.bindings[i].RUID
	change := Change{AoR: u.r.AoR, Binding: b, Removed: life == 0}
	if life > 0 && same(&b, &u.bindings[i]) && u.bindings[i].Expires.Sub(u.now) > writeAhead {
		u.refreshed = append(u.refreshed, change)
	} else {
		u.changes = append(u.changes, change)
	}
	if life == 0 {
		u.bindings = append(u.bindings[:i:i], u.bindings[i+1:]...)
		return nil
	}
	u.bindings[i] = b
	return nil
}

// writeAhead is how long what is in the store must still be good for, to leave a
// refresh to a later, common write.
const writeAhead = 4 * sweepEvery

// same tells whether nothing but time and the counting of requests is between two
// bindings.
func same(a, b *Binding) bool {
	return a.Contact == b.Contact && a.Flow == b.Flow && a.Params == b.Params && a.Q == b.Q && a.CallID == b.CallID &&
		a.Instance == b.Instance && a.RegID == b.RegID && a.UserAgent == b.UserAgent && a.Methods == b.Methods &&
		slices.Equal(a.Path, b.Path)
}

// find looks for the binding that a contact replaces: that of the same instance
// and reg-id (RFC 5626 section 6), else the one with an equal URI.
func (u *update) find(uri address.URI, b *Binding) int {
	for i := range u.bindings {
		old := &u.bindings[i]
		if b.Instance != "" && b.RegID != 0 && old.Instance == b.Instance && old.RegID == b.RegID {
			return i
		}
		if o, err := address.ParseURI(old.Contact); err == nil && o.Equal(uri) {
			return i
		}
	}
	return -1
}

// life is how long a contact is to be bound: its expires parameter, else the
// Expires header, else the default; 0 removes it.
func (u *update) life(c address.NameAddr) (time.Duration, error) {
	secs := u.r.Expires
	if p, ok := c.Params.Get("expires"); ok {
		// A value that is no number counts as 3600 (RFC 3261 section 10.2.1.1).
		secs = 3600
		if n, err := strconv.ParseUint(p, 10, 32); err == nil {
			secs = int(n)
		}
	}
	if secs < 0 {
		return u.opt.Default, nil
	}
	life := time.Duration(secs) * time.Second
	// Never for an hour or more (step 7).
	if life > 0 && life < u.opt.Min && life < time.Hour {
		return 0, &Error{Status: 423, Reason: "Interval Too Brief", MinExpires: int(u.opt.Min / time.Second)}
	}
	if u.opt.Max > 0 {
		life = min(life, u.opt.Max)
	}
	return life, nil
}

// binding makes the binding of a contact. Texts are cloned: a part of a message
// would keep all of it in memory.
func (u *update) binding(c address.NameAddr, life time.Duration) Binding {
	b := Binding{
		Contact:   strings.Clone(c.URI.String()),
		Q:         1,
		Expires:   u.now.Add(life),
		CallID:    strings.Clone(u.r.CallID),
		CSeq:      u.r.CSeq,
		Flow:      u.r.Flow(c.URI),
		UserAgent: strings.Clone(u.r.UserAgent),
		Methods:   strings.Clone(u.r.Methods),
		Modified:  u.now,
	}
	for _, p := range u.r.Path {
		b.Path = append(b.Path, strings.Clone(p))
	}
	if q, ok := c.Params.Get("q"); ok {
		if v, err := strconv.ParseFloat(q, 32); err == nil && v >= 0 && v <= 1 {
			b.Q = float32(v)
		}
	}
	if m, ok := c.Params.Get("methods"); ok {
		b.Methods = strings.Clone(m)
	}
	if v, ok := c.Params.Get("+sip.instance"); ok {
		b.Instance = strings.Clone(v)
		// reg-id without an instance means nothing (RFC 5626 section 6).
		if id, ok := c.Params.Get("reg-id"); ok {
			n, _ := strconv.ParseUint(id, 10, 31)
			b.RegID = uint32(n)
		}
	}
	b.Params = c.Params.Without("q", "expires", "+sip.instance", "reg-id").String()
	return b
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
		s.WriteString(`;+sip.instance=` + address.Quote(b.Instance))
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
