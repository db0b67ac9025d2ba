package main

import (
	"fmt"
	"testing"
	"time"
)

// A device that fails at everything is not sent all that waits at every word.
func TestFailingMemberIsNotHammered(t *testing.T) {
	t.Parallel()
	for _, status := range []int32{500, 405} {
		s := serve(t)
		alice, bob := s.phone("udp", "alice"), s.phone("udp", "bob")
		alice.register(300)
		bob.register(300)
		alice.message(room1, "#create")
		alice.message(room1, "#add bob")
		_ = bob.next()
		bob.autoReply.Store(status)
		begun := time.Now()
		for i := range 60 {
			alice.message(room1, fmt.Sprint("word ", i))
		}
		time.Sleep(500 * time.Millisecond)
		most := int64(2 + time.Since(begun)/(2*time.Second)) // one for each back-off
		if n := s.engine.Failed.Value(); n < 1 || n > most {
			t.Errorf("%d: %d requests for 60 words, at most %d are due", status, n, most)
		}
	}
}
