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

// A tally counts the messages of each room and the stored messages of each user during one
// interval.
type tally struct {
	mu        sync.Mutex
	said      map[sip.AoR]int
	stored    map[sip.AoR]int
	uncounted int // events of further addresses
}

// The limits of a tally.
const (
	maxCounted = 4096 // rooms, and as many users
	maxListed  = 20
)

func newTally() *tally {
	return &tally{said: map[sip.AoR]int{}, stored: map[sip.AoR]int{}}
}

func (t *tally) receive(_ *Hub, s *published) {
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
		t.uncounted++
		return
	}
	of[s.User]++
}

// busiest streams the counts of each interval.
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
			case <-h.done:
				return
			case at := <-tick.C:
				if !yield(t.report(at), nil) {
					return
				}
			}
		}
	}}, nil
}

// report returns the counts and begins the next interval.
func (t *tally) report(at time.Time) *mi.Node {
	t.mu.Lock()
	said, stored, uncounted := t.said, t.stored, t.uncounted
	t.said, t.stored, t.uncounted = map[sip.AoR]int{}, map[sip.AoR]int{}, 0
	t.mu.Unlock()
	n := &mi.Node{Name: "INTERVAL", Attrs: []mi.Attr{{Name: "time", Value: at.UTC().Format(timeForm)}}}
	if uncounted > 0 {
		n.Attrs = append(n.Attrs, mi.Attr{Name: "not_counted", Value: uncounted})
	}
	top(n, "ROOM", "said", said)
	top(n, "MAILBOX", "stored", stored)
	return n
}

// top adds the largest counts to n.
func top(n *mi.Node, name, attr string, counts map[sip.AoR]int) {
	type entry struct {
		aor sip.AoR
		n   int
	}
	list := make([]entry, 0, len(counts))
	for aor, count := range counts {
		list = append(list, entry{aor, count})
	}
	slices.SortFunc(list, func(a, b entry) int {
		return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.aor.String(), b.aor.String()))
	})
	for _, e := range list[:min(len(list), maxListed)] {
		n.Add(name, e.aor.String(), mi.Attr{Name: attr, Value: e.n})
	}
}
