package db

import "silod/imc"

// A plan is the work of one transaction, sorted by kind, so that each kind except steps
// takes a few statements for all callers together.
type plan struct {
	messages []*messageRow
	entries  []*entryRow
	bindings []*bindingRow
	steps    []func(*session) error // writes with statements of their own
	cursors  []imc.Cursor
	deletes  []any // IDs of messages
	copies   bool  // the messages to delete may have copies
}

// A planKinds is a set of kinds of work, one for each list in a plan.
type planKinds uint8

// The kinds, in the order in which run runs them.
const (
	kindMessages planKinds = 1 << iota
	kindEntries
	kindBindings
	kindSteps
	kindCursors
	kindDeletes
)

// kinds returns the kinds of work in the plan.
func (p *plan) kinds() (k planKinds) {
	for i, n := range []int{
		len(p.messages), len(p.entries), len(p.bindings), len(p.steps), len(p.cursors), len(p.deletes),
	} {
		if n > 0 {
			k |= 1 << i
		}
	}
	return k
}

// mustRunOnce reports whether running the plan twice would write something twice.
func (p *plan) mustRunOnce() bool { return len(p.messages)+len(p.entries)+len(p.steps) > 0 }

// run runs the statements of the plan in the order of its fields.
func (p *plan) run(s *session) error {
	added, err := insertMessages(s, p.messages)
	if err != nil {
		return err
	}
	s.inserted.messages = added
	if err := appendEntries(s, p.entries); err != nil {
		return err
	}
	if err := saveBindings(s, p.bindings); err != nil {
		return err
	}
	for _, step := range p.steps {
		if err := step(s); err != nil {
			return err
		}
	}
	if err := saveCursors(s, p.cursors); err != nil {
		return err
	}
	return deleteMessages(s, p.deletes, p.copies)
}
