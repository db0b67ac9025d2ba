package main

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// arriving returns a MESSAGE with an id.
func arriving(id int) *gosip.Request {
	req := gosip.NewRequest(gosip.MESSAGE, gosip.Uri{Scheme: "sip", Host: "127.0.0.1"})
	req.AppendHeader(gosip.NewHeader("Call-ID", fmt.Sprint(id)))
	return req
}

// TestArrivals has goroutines call handle in the reverse order, some before the reader has seen
// their message, and the first blocked until too many wait.
func TestArrivals(t *testing.T) {
	a := newArrivals(nil)
	var mu sync.Mutex
	var received, busy []int
	first := make(chan struct{})
	var wg sync.WaitGroup
	const extra = 3
	enter := func(id int) {
		wg.Go(func() {
			a.handle(transactionKey(arriving(id)), func(time.Time) int {
				if id == 0 {
					<-first
				}
				received = append(received, id)
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
	if !slices.Equal(received, want) {
		t.Errorf("received: %v", received)
	}
	if slices.Sort(busy); !slices.Equal(busy, []int{maxWaiting, maxWaiting + 1, maxWaiting + 2}) {
		t.Errorf("answered 503: %v", busy)
	}
	a.note(arriving(1000))
	enter(1000) // a place is free again
	wg.Wait()
	if received[len(received)-1] != 1000 {
		t.Errorf("the last message was not received: %v", received)
	}
	a.close()
	a.handle("late", func(time.Time) int { t.Error("received after close"); return 0 }, func(code int) {
		if code != gosip.StatusTemporarilyUnavailable {
			t.Errorf("answered %d after close", code)
		}
	})
}

// TestArrivalsCloseWithoutNote calls handle for a message that the reader does not note: close
// answers it 480 and does not wait for the reader.
func TestArrivalsCloseWithoutNote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals(nil)
		answered := make(chan int, 1)
		go a.handle("1", func(time.Time) int { return gosip.StatusOK }, func(code int) { answered <- code })
		synctest.Wait()
		a.close()
		if code := <-answered; code != gosip.StatusTemporarilyUnavailable {
			t.Errorf("answered %d", code)
		}
	})
}
