package main

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// deaf returns the address of a socket that never answers.
func deaf(t *testing.T) net.Addr {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.LocalAddr()
}

// Members that never answer, more than there are workers for them, do not delay the words of
// another room.
func TestDeadMembersDelayNoOtherRoom(t *testing.T) {
	t.Parallel()
	const dead = 1500
	s := serve(t)
	alice, bob, mallory := s.phone("udp", "alice"), s.phone("udp", "bob"), s.phone("udp", "mallory")
	for _, p := range []*ua{alice, bob, mallory} {
		p.register(300)
	}
	at := deaf(t)
	const other = "sip:chat-2@127.0.0.1"
	mallory.message(other, "#create")
	for i := range dead {
		if got := mallory.message(other, fmt.Sprintf("#add d%d@%s", i, at)); got != 200 {
			t.Fatalf("#add is answered %d", got)
		}
	}
	alice.message(room1, "#create")
	alice.message(room1, "#add bob")
	s.eventually("deliveries to the dead", func() bool { return s.engine.Active() >= dead })
	for i := range 5 {
		mallory.message(other, "to the dead")
		word := fmt.Sprint("word ", i)
		alice.message(room1, word)
		for text := ""; !strings.HasSuffix(text, word); {
			text = body(bob.next())
		}
	}
}

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
