package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// A backlog is a device that answers slowly, in the middle of the words that its owner has missed
// in a room.
type backlog struct {
	*ua
	words int
}

// newBacklog lets bob miss words in room1, and returns his device when it has received some.
func newBacklog(t *testing.T, s *served, a *ua, words int) *backlog {
	t.Helper()
	old := s.phone("udp", "bob")
	a.message(room1, "#create")
	old.message(room1, "#join")
	old.message(otherRoom, "#create")
	a.message(otherRoom, "#join")
	var saying sync.WaitGroup
	for lane := range 10 { // members see the words in any order
		speaker := s.phone("udp", "alice")
		saying.Go(func() {
			for i := lane; i < words; i += 10 {
				if got := speaker.message(room1, fmt.Sprint("word ", i)); got != 200 {
					t.Errorf("a word is answered %d", got)
				}
			}
		})
	}
	saying.Wait()
	b := &backlog{s.phone("udp", "bob"), words}
	b.autoReply.Store(0)
	b.daemon = nil
	b.register(300)
	return b
}

const otherRoom = "sip:chat-2@127.0.0.1"

// take answers the next message after a while and returns its text.
func (b *backlog) take() string {
	b.t.Helper()
	m := b.next()
	time.Sleep(5 * time.Millisecond)
	b.reply(m, 200)
	return body(m)
}

// wait returns how many words come before a text.
func (b *backlog) wait(part string) int {
	b.t.Helper()
	for n := range b.words {
		if strings.Contains(b.take(), part) {
			return n
		}
	}
	b.t.Fatalf("%q did not come", part)
	return 0
}

// Personal messages, answers to commands and a word in another room come before the words that a
// user has missed in a room.
func TestPersonalFirst(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a := s.phone("udp", "alice")
	a.register(300)
	if got := s.phone("udp", "carol").message(bob, "missed"); got != 202 {
		t.Errorf("a message to bob is answered %d", got)
	}
	b := newBacklog(t, s, a, 400)
	if n := b.wait("missed"); n > 5 { // behind the answers to his commands
		t.Errorf("the stored message came behind %d others", n)
	}
	for range 20 {
		b.take()
	}
	for _, step := range []struct {
		want string
		say  func()
	}{
		{"text 1", func() { s.phone("udp", "carol").message(bob, "text 1") }}, // is relayed, or stored
		{"has no topic", func() { s.phone("udp", "bob").message(room1, "#topic") }},
		{"Commands", func() { s.phone("udp", "bob").message(room1, "#help") }},
		{"text 2", func() { s.phone("udp", "alice").message(otherRoom, "text 2") }},
		{"text 3", func() { s.phone("udp", "carol").message(bob, "text 3") }},
	} {
		var saying sync.WaitGroup
		saying.Go(step.say)
		if n := b.wait(step.want); n > 20 {
			t.Errorf("%q came behind %d words", step.want, n)
		}
		saying.Wait()
	}
}
