package watch

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"silod/mi"
	"silod/sip"
)

// tally counts what is said in rooms and stored for users, for somebody who wants to
// know where most happens. Its lock is held while one number is counted.
type tally struct {
	mu      sync.Mutex
	said    map[sip.AoR]int
	stored  map[sip.AoR]int
	uncount int // events of more addresses than are counted
}

// The bounds of a tally.
const (
	maxCounted = 4096 // rooms, and again users, in one interval
	maxListed  = 20
)

func newTally() *tally {
	return &tally{said: map[sip.AoR]int{}, stored: map[sip.AoR]int{}}
}

func (t *tally) take(_ *Hub, s *seen) {
	of := t.said
	switch s.What {
	case Said:
	case Stored:
		of = t.stored
	default:
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := of[s.User]; !known && len(of) >= maxCounted {
		t.uncount++
		return
	}
	of[s.User]++
}

// busiest streams what was counted in each interval.
func (h *Hub) busiest(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	every := time.Second
	if v := req.Named("seconds", 0); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 3600 {
			return nil, mi.Errorf(400, "Bad seconds %q: a number from 1 to 3600 is expected", v)
		}
		every = time.Duration(n) * time.Second
	}
	return &mi.Node{List: true, Stream: func(yield func(*mi.Node, error) bool) {
		t := newTally()
		if !h.join(t) {
			yield(nil, errFull)
			return
		}
		defer h.leave(t)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-h.over:
				return
			case at := <-tick.C:
				if !yield(t.report(at), nil) {
					return
				}
			}
		}
	}}, nil
}

// report tells what was counted, and begins anew.
func (t *tally) report(at time.Time) *mi.Node {
	t.mu.Lock()
	said, stored, uncount := t.said, t.stored, t.uncount
	t.said, t.stored, t.uncount = map[sip.AoR]int{}, map[sip.AoR]int{}, 0
	t.mu.Unlock()
	n := &mi.Node{Name: "INTERVAL", Attrs: []mi.Attr{{Name: "time", Value: at.UTC().Format(timeForm)}}}
	if uncount > 0 {
		n.Attrs = append(n.Attrs, mi.Attr{Name: "not_counted", Value: uncount})
	}
	top(n, "ROOM", "said", said)
	top(n, "MAILBOX", "stored", stored)
	return n
}

// top adds the largest counts.
func top(n *mi.Node, name, what string, counts map[sip.AoR]int) {
	type entry struct {
		who sip.AoR
		n   int
	}
	list := make([]entry, 0, len(counts))
	for who, count := range counts {
		list = append(list, entry{who, count})
	}
	slices.SortFunc(list, func(a, b entry) int {
		return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.who.String(), b.who.String()))
	})
	for _, e := range list[:min(len(list), maxListed)] {
		n.Add(name, e.who.String(), mi.Attr{Name: what, Value: e.n})
	}
}
