package registrar

import (
	"context"
	"strconv"
	"strings"
	"time"

	"silod/sip"
)

// A Binding is one contact at which an AoR can be reached (RFC 3261 section 10).
type Binding struct {
	Contact   string    // URI of the Contact as registered
	Params    string    // its other header parameters as registered, such as ";+sip.ice"; not q, expires, +sip.instance and reg-id
	Q         float32   // preference, 0 to 1; 1 by default
	Expires   time.Time // end of the binding
	CallID    string    // of the last REGISTER for the binding
	CSeq      uint32    // of the last REGISTER for the binding
	ViaNAT    bool      // the client is behind a NAT although the flow leads to the address of the Contact
	Foreign   bool      // it was read from the row of another program, and not registered with silod since then
	Instance  string    // +sip.instance without quotes (RFC 5626); "" if missing
	RegID     uint32    // reg-id (RFC 5626); 0 if missing
	key       uint32    // of the Contact, see uriKey; 0: not computed yet
	Path      []string  // Path values, topmost first (RFC 3327)
	Flow      sip.Flow  // over which the contact is reached; zero: at the Path, or else the Contact
	UserAgent string
	Methods   string // that the device allows, "MESSAGE, OPTIONS"; "" if unknown
	RUID      string // unique in the store: column ruid
	Modified  time.Time
}

// A Change is a binding to be written to the store, or to be removed from it.
type Change struct {
	AoR     sip.AoR
	Binding Binding
	Removed bool
}

// A Store keeps bindings across a restart, in the table location. Package db implements
// it.
type Store interface {
	// Load calls f for each binding that has not expired at now, and stale with the RUIDs of
	// rows of silod, not of other programs, that belong to no such binding. A row that cannot
	// be read is passed to skip as an error.
	Load(ctx context.Context, now time.Time, f func(sip.AoR, Binding), stale func(ruid string), skip func(error)) error

	// Save commits the changes in one transaction. It finds rows by RUID. Concurrent
	// calls share a commit.
	Save(ctx context.Context, changes []Change) error
}

// ContactValue returns the Contact header value for the binding in the 200 to a REGISTER. It
// contains only characters that RFC 3261 allows, so that every client can read it, and is
// read as the same binding.
func (b *Binding) ContactValue(now time.Time) string {
	var s strings.Builder
	s.WriteString("<" + strictURI(b.Contact) + ">")
	if b.Q != 1 {
		s.WriteString(";q=" + strconv.FormatFloat(float64(b.Q), 'f', -1, 32))
	}
	s.WriteString(";expires=" + strconv.FormatInt(int64(max(0, b.Expires.Sub(now).Round(time.Second)/time.Second)), 10))
	if b.Instance != "" {
		s.WriteString(`;+sip.instance=` + sip.Quote(b.Instance))
		if b.RegID != 0 {
			s.WriteString(";reg-id=" + strconv.Itoa(int(b.RegID)))
		}
	}
	s.WriteString(b.Params)
	return s.String()
}

// MadeBy reports whether a REGISTER was the last for the binding.
func (b *Binding) MadeBy(r *Register) bool { return b.CSeq == r.CSeq && b.CallID == r.CallID }

// size returns the length of the texts that a client chooses.
func (b *Binding) size() int {
	n := len(b.Contact) + len(b.Params) + len(b.Instance) + len(b.CallID)
	for _, p := range b.Path {
		n += len(p)
	}
	return n
}

// Allows reports whether the device allows a method. A device that did not list any
// allows all.
func (b *Binding) Allows(method string) bool {
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
