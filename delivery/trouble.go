package delivery

import (
	"slices"
	"time"
)

// trouble is what is remembered of the items that a recipient does not take: some
// devices never answer a message that they cannot read, or fail at it every time,
// and one such message must not keep the others out.
//
// An item that fails is first taken for a device that cannot take anything now:
// nothing goes past it. When it has failed for the third time, and the device is
// known to be there, the one behind it is tried in the same breath. If the device
// takes that, it was the item: from then on it goes behind the others, and is tried
// now and then until it expires.
type trouble struct {
	first place // the item that the last rounds failed at
	times int
	odd   []oddity // items that are to blame, at most mostOdd
}

// place names an item.
type place struct {
	queue *Queue
	key   int64
}

// oddity is an item that was not taken while others were.
type oddity struct {
	place
	wait time.Duration
	next time.Time // not tried again before
}

const (
	patience   = 3 // failures before an item behind is tried
	mostPassed = 8 // failing items that one round goes past, where the device answers
	mostOdd    = 8

	oddWait = 30 * time.Second // doubled up to oddMost
	oddMost = 10 * time.Minute
)

// find gives an item's oddity, nil for the usual item.
func (t *trouble) find(q *Queue, key int64) *oddity {
	for i := range t.odd {
		if t.odd[i].place == (place{q, key}) {
			return &t.odd[i]
		}
	}
	return nil
}

// blame remembers the items that failed while another one was taken.
func (t *trouble) blame(q *Queue, keys []int64) {
	for _, k := range keys {
		if t.find(q, k) == nil {
			t.odd = append(t.odd, oddity{place: place{q, k}})
			t.failed(q, k)
		}
	}
	if n := len(t.odd) - mostOdd; n > 0 {
		t.odd = slices.Delete(t.odd, 0, n)
	}
}

// failed puts the next try of an odd item off.
func (t *trouble) failed(q *Queue, key int64) {
	if o := t.find(q, key); o != nil {
		o.wait = min(max(2*o.wait, oddWait), oddMost)
		o.next = time.Now().Add(o.wait)
	}
}

// suspect tells whether an item has failed often enough for it to be the item.
func (r *round) suspect(it *Item) bool {
	t := r.trouble
	return len(r.failed) > 0 || t.first == place{r.queue, it.Key} && t.times >= patience-1
}

// mayPass notes that an item was not delivered, and tells whether the next one is
// to be tried all the same.
func (r *round) mayPass(it *Item, out Outcome) bool {
	t := r.trouble
	t.failed(r.queue, it.Key)
	if len(r.failed) == 0 {
		if p := (place{r.queue, it.Key}); t.first == p {
			t.times++
		} else {
			t.first, t.times = p, 1
		}
		r.budget = min(t.times-patience+1, mostPassed)
	}
	r.budget--
	return out.Answered && r.budget >= 0
}
