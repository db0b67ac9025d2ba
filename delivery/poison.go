package delivery

import (
	"slices"
	"time"
)

// A poisonList remembers the items that a recipient does not accept: some devices never
// answer a message that they cannot read, or always fail at it, and one such message
// must not keep the others from being delivered.
//
// The first failures of an item are taken for a failure of the device: no other item is
// sent. When the item has failed for the third time, and the device is known to be
// reachable, the item behind it is tried immediately, or that of another queue. If the device
// accepts that one, the first item is poison: from then on it is sent behind the others, with
// longer and longer pauses, until it expires.
type poisonList struct {
	first    itemKey      // the item that the last passes failed at
	failures int          // of that item
	skipped  []itemKey    // failed in this round, and none was accepted after them
	items    []poisonItem // at most maxPoison
}

// An itemKey names an item.
type itemKey struct {
	queue *Queue
	key   int64
}

// A poisonItem is an item that was not accepted while another one was.
type poisonItem struct {
	itemKey
	wait time.Duration
	next time.Time // not tried before
}

const (
	failuresBeforeSkip = 3 // failures of an item before it is skipped and the item behind it is tried
	maxSkipped         = 8 // failing items that one pass skips
	maxPoison          = 8 // the oldest entry is dropped beyond

	poisonWait    = 30 * time.Second // doubled up to maxPoisonWait
	maxPoisonWait = 10 * time.Minute
)

// find returns an item's entry, nil if it is not poison.
func (l *poisonList) find(q *Queue, key int64) *poisonItem {
	for i := range l.items {
		if l.items[i].itemKey == (itemKey{q, key}) {
			return &l.items[i]
		}
	}
	return nil
}

// markPoison adds the items that were skipped, when another one was accepted.
func (l *poisonList) markPoison() {
	for _, k := range l.skipped {
		if l.find(k.queue, k.key) == nil {
			l.items = append(l.items, poisonItem{itemKey: k})
			l.postpone(k.queue, k.key)
		}
	}
	l.skipped = nil
	if n := len(l.items) - maxPoison; n > 0 {
		l.items = slices.Delete(l.items, 0, n)
	}
}

// postpone delays the next try of an item that is poison.
func (l *poisonList) postpone(q *Queue, key int64) {
	if it := l.find(q, key); it != nil {
		it.wait = min(max(2*it.wait, poisonWait), maxPoisonWait)
		it.next = time.Now().Add(it.wait)
	}
}

// maybePoison reports whether an item has failed often enough to be poison.
func (p *pass) maybePoison(it *Item) bool {
	l := p.poison
	return len(p.failed) > 0 || l.first == itemKey{p.queue, it.Key} && l.failures >= failuresBeforeSkip-1
}

// maySkip records that an item was not delivered and reports whether the pass continues
// with the next one. After the third failure of the first item a pass may skip one item,
// after the fourth two, and so on.
func (p *pass) maySkip(it *Item, out Outcome) bool {
	l := p.poison
	l.postpone(p.queue, it.Key)
	if len(p.failed) == 0 {
		if at := (itemKey{p.queue, it.Key}); l.first == at {
			l.failures++
		} else {
			l.first, l.failures = at, 1
		}
		p.budget = min(l.failures-failuresBeforeSkip+1, maxSkipped)
	}
	p.budget--
	if !out.Answered || p.budget < 0 {
		return false
	}
	l.skipped = append(l.skipped, itemKey{p.queue, it.Key})
	return true
}
