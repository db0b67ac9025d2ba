package load

import (
	"bytes"
	"hash/maphash"
	"strconv"
	"sync"
)

// A Ledger records the numbered messages that mailboxes receive, and counts those that
// are out of order or repeated. The body of a message contains its number: see Mark.
type Ledger struct {
	mu     sync.Mutex
	boxes  []box
	totals Totals
	seed   maphash.Seed
}

// Totals are the counters of a Ledger.
type Totals struct {
	Arrived       int64 // different messages
	Disordered    int64 // received after a higher number of the same mailbox
	Repeated      int64 // received again in a new transaction
	Retransmitted int64 // received again in the same transaction
	Unknown       int64 // without a valid mark
}

// Sub subtracts the counters of an earlier moment.
func (t *Totals) Sub(b Totals) {
	t.Arrived -= b.Arrived
	t.Disordered -= b.Disordered
	t.Repeated -= b.Repeated
	t.Retransmitted -= b.Retransmitted
	t.Unknown -= b.Unknown
}

// A box is a mailbox. brought has the hash of the last branch by message number; 0 means
// not received.
type box struct {
	highest int
	brought []uint64
}

// NewLedger returns a Ledger for a number of mailboxes, numbered from 0.
func NewLedger(boxes int) *Ledger {
	l := &Ledger{boxes: make([]box, boxes), seed: maphash.MakeSeed()}
	for i := range l.boxes {
		l.boxes[i].highest = -1
	}
	return l
}

// mark delimits the two numbers in a body.
const mark = '~'

// Mark appends the mark that identifies a message for the Ledger: ~mailbox/number~.
func Mark(b []byte, mailbox, number int) []byte {
	b = append(b, mark)
	b = strconv.AppendInt(b, int64(mailbox), 10)
	b = append(b, '/')
	b = strconv.AppendInt(b, int64(number), 10)
	return append(b, mark)
}

// ReadMark parses the first mark in a body; ok is false if there is none.
func ReadMark(body []byte) (mailbox, number int, ok bool) {
	_, rest, ok := bytes.Cut(body, []byte{mark})
	if !ok {
		return 0, 0, false
	}
	text, _, ok := bytes.Cut(rest, []byte{mark})
	if !ok {
		return 0, 0, false
	}
	left, right, ok := bytes.Cut(text, []byte{'/'})
	mailbox, err1 := strconv.Atoi(string(left))
	number, err2 := strconv.Atoi(string(right))
	return mailbox, number, ok && err1 == nil && err2 == nil && mailbox >= 0 && number >= 0
}

// Enter records a message that a mailbox has received, and reports whether it is the first
// with its number. branch identifies the transaction.
func (l *Ledger) Enter(mailbox, number int, branch []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if mailbox >= len(l.boxes) || number > maxNumber {
		l.totals.Unknown++
		return false
	}
	b := &l.boxes[mailbox]
	for number >= len(b.brought) {
		b.brought = append(b.brought, 0)
	}
	by := maphash.Bytes(l.seed, branch) | 1 // never 0
	before := b.brought[number]
	b.brought[number] = by
	switch {
	case before == by:
		l.totals.Retransmitted++
		return false
	case before != 0:
		l.totals.Repeated++
		return false
	}
	l.totals.Arrived++
	if number < b.highest {
		l.totals.Disordered++
	}
	b.highest = max(b.highest, number)
	return true
}

// maxNumber limits the memory that a wrong number in a body can take.
const maxNumber = 10_000_000

// Stray records a message without a mark.
func (l *Ledger) Stray() {
	l.mu.Lock()
	l.totals.Unknown++
	l.mu.Unlock()
}

// Totals returns the current counters.
func (l *Ledger) Totals() Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.totals
}
