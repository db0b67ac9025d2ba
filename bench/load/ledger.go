package load

import (
	"bytes"
	"hash/maphash"
	"strconv"
	"sync"
)

// A Ledger keeps the books of numbered messages: what each mailbox has got, in which
// order, and what it got twice. Messages say in their body which they are: see Mark.
type Ledger struct {
	mu     sync.Mutex
	boxes  []box
	totals Totals
	seed   maphash.Seed
}

// Totals sum a Ledger up.
type Totals struct {
	Arrived       int64 // different messages
	Disordered    int64 // that came after one with a higher number of the same mailbox
	Repeated      int64 // messages that came again as a new transaction
	Retransmitted int64 // messages that came again as the same transaction
	Unknown       int64 // that bear no mark of ours
}

// Sub takes away what had been counted before.
func (t *Totals) Sub(b Totals) {
	t.Arrived -= b.Arrived
	t.Disordered -= b.Disordered
	t.Repeated -= b.Repeated
	t.Retransmitted -= b.Retransmitted
	t.Unknown -= b.Unknown
}

// box is one mailbox: by message number, the transaction that brought it last.
type box struct {
	highest int
	brought []uint64
}

// NewLedger makes the books of so many mailboxes, numbered from 0.
func NewLedger(boxes int) *Ledger {
	l := &Ledger{boxes: make([]box, boxes), seed: maphash.MakeSeed()}
	for i := range l.boxes {
		l.boxes[i].highest = -1
	}
	return l
}

// mark stands on both sides of the two numbers in a body.
const mark = '~'

// Mark appends what tells the Ledger which message this is: ~mailbox/number~.
func Mark(b []byte, mailbox, number int) []byte {
	b = append(b, mark)
	b = strconv.AppendInt(b, int64(mailbox), 10)
	b = append(b, '/')
	b = strconv.AppendInt(b, int64(number), 10)
	return append(b, mark)
}

// ReadMark finds a mark in a body, wherever it stands.
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

// Enter books a message that a mailbox has got, and tells whether it is the first
// with its number. branch names the transaction that brought it.
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
	by := maphash.Bytes(l.seed, branch) | 1 // never 0, which stands for "not yet"
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

// maxNumber keeps a strange body from making a mailbox's books endless.
const maxNumber = 10_000_000

// Stray books a message without a mark.
func (l *Ledger) Stray() {
	l.mu.Lock()
	l.totals.Unknown++
	l.mu.Unlock()
}

// Totals are the sums so far.
func (l *Ledger) Totals() Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.totals
}
