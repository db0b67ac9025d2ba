package main

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// arriving returns a MESSAGE with an id.
func arriving(id int) *gosip.Request {
	req := gosip.NewRequest(gosip.MESSAGE, gosip.Uri{Scheme: "sip", Host: "127.0.0.1"})
	req.AppendHeader(gosip.NewHeader("Call-ID", fmt.Sprint(id)))
	return req
}

// TestArrivals has goroutines enter in the reverse order, some before the reader has seen
// their message, and the first blocked until too many wait.
func TestArrivals(t *testing.T) {
	a := newArrivals(nil)
	var mu sync.Mutex
	var taken, busy []int
	first := make(chan struct{})
	var wg sync.WaitGroup
	const extra = 3
	enter := func(id int) {
		wg.Go(func() {
			a.enter(transactionKey(arriving(id)), func(time.Time) int {
				if id == 0 {
					<-first
				}
				taken = append(taken, id)
				return gosip.StatusOK
			}, func(code int) {
				mu.Lock()
				defer mu.Unlock()
				if code == gosip.StatusServiceUnavailable {
					busy = append(busy, id)
				}
			})
		})
	}
	for id := maxWaiting + extra - 1; id >= 0; id-- {
		enter(id)
	}
	for id := range maxWaiting + extra {
		a.note(arriving(id))
		a.note(arriving(id)) // a retransmission
	}
	close(first)
	wg.Wait()
	var want []int
	for id := range maxWaiting {
		want = append(want, id)
	}
	if !slices.Equal(taken, want) {
		t.Errorf("taken: %v", taken)
	}
	if slices.Sort(busy); !slices.Equal(busy, []int{maxWaiting, maxWaiting + 1, maxWaiting + 2}) {
		t.Errorf("answered 503: %v", busy)
	}
	a.note(arriving(1000))
	enter(1000) // there is room again
	wg.Wait()
	if taken[len(taken)-1] != 1000 {
		t.Errorf("the last message was not taken: %v", taken)
	}
	a.close()
	a.enter("late", func(time.Time) int { t.Error("taken after close"); return 0 }, func(code int) {
		if code != gosip.StatusTemporarilyUnavailable {
			t.Errorf("answered %d after close", code)
		}
	})
}
