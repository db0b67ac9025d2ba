package registrar

import (
	"context"
	"time"

	"silod/sip"
)

// Binding is one contact under which an AoR can be reached (RFC 3261 section 10).
type Binding struct {
	Contact   string    // the Contact's URI as registered
	Params    string    // its other header parameters as registered, ";+sip.ice" for one: all but q, expires, +sip.instance, reg-id
	Q         float32   // preference, 0 to 1; 1 where none was given
	Expires   time.Time // end of the binding
	CallID    string    // of the REGISTER that made or refreshed it
	CSeq      uint32
	Instance  string   // +sip.instance, without quotes; "" where none (RFC 5626)
	RegID     uint32   // reg-id; 0 where none
	Path      []string // Path values, topmost first (RFC 3327)
	Flow      string   // how to reach it: text that package stack made and understands
	UserAgent string
	Methods   string // methods the device allows, "MESSAGE, OPTIONS"; "" where it did not say
	RUID      string // unique in the store: column ruid
	Modified  time.Time
}

// Change is a binding to be written, or to be removed from, the store.
type Change struct {
	AoR     sip.AoR
	Binding Binding
	Removed bool
}

// Store keeps bindings over a restart, in the table location. db implements it.
type Store interface {
	// Load calls f for every binding that had not expired at now; a row that cannot
	// be read is reported to skip and passed over.
	Load(ctx context.Context, now time.Time, f func(sip.AoR, Binding), skip func(error)) error

	// Save commits the changes in one transaction, matching rows by RUID.
	// Concurrent calls share a commit.
	Save(ctx context.Context, changes []Change) error
}
