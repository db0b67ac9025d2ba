package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"silod/bench/load"
)

const (
	roomName = "chat-1"
	roomURI  = "sip:" + roomName + "@" + domain
)

// runRoom sends messages of several members to a room.
func runRoom(ctx context.Context, s *stage) error {
	members := s.people(s.users)
	if err := s.registerAll(ctx, members); err != nil {
		return err
	}
	if err := s.assemble(ctx, members); err != nil {
		return err
	}
	t := newTalk(s, members)
	arrived := t.arrived
	s.arrived.Store(&arrived)
	answered := s.load.Counts().Answers(200, 300)
	err := s.steady(ctx, t.speak, func(r reading) int64 { return r.totals.Arrived })
	if err != nil {
		return err
	}
	all := (s.load.Counts().Answers(200, 300) - answered) * int64(len(members)-1)
	if _, err := s.collect(ctx, all); err != nil {
		return err
	}
	s.sample.Missing = max(0, all-s.ledger.Totals().Arrived)
	s.sample.Disordered = t.disordered()
	return nil
}

// assemble creates the room and lets all members join it one after the other, so that the
// room is the same for all systems.
func (s *stage) assemble(ctx context.Context, members []person) error {
	before := s.load.Counts()
	next := 0
	err := s.load.Do(ctx, func(slot int, m *load.Message) load.Turn {
		if slot != 0 || next == len(members) {
			return load.Done
		}
		m.Method, m.URI, m.From, m.To = "MESSAGE", roomURI, members[next].uri, roomURI
		m.Body = append(m.Body, "#join"...)
		if next == 0 {
			m.Body = append(m.Body[:0], "#create "+roomName...)
		}
		next++
		return load.Send
	})
	if err != nil {
		return fmt.Errorf("create a room: %w", err)
	}
	got := s.load.Counts().Since(before)
	if got.Answers(200, 300) != int64(len(members)) {
		return fmt.Errorf("create a room of %d members: %s", len(members), statuses(got))
	}
	return s.quiet(ctx) // until all members have the notices of the joins
}

// A talk is the messages in a room. Each slot of the load is a speaker, which sends its
// next message when all other members have received the last one. So the number of
// messages in the system does not depend on when it answers.
type talk struct {
	stage   *stage
	members []person
	said    atomic.Int64
	current []utterance    // by slot
	left    []atomic.Int32 // number of members without message n, at index n modulo its length

	mu   sync.Mutex
	seen [][]int // the numbers of the messages of each member, in the order of arrival
}

// An utterance is the last message of a speaker.
type utterance struct {
	n  int
	at time.Time
}

// lateAfter is the time after which a speaker no longer waits for missing deliveries.
const lateAfter = 10 * time.Second

func newTalk(s *stage, members []person) *talk {
	t := &talk{
		stage: s, members: members, current: make([]utterance, s.load.Slots()),
		left: make([]atomic.Int32, 1<<16), seen: make([][]int, len(members)),
	}
	for i := range t.current {
		t.current[i].n = -1
	}
	return t
}

// speak is the source of the load.
func (t *talk) speak(slot int, m *load.Message) load.Turn {
	u := &t.current[slot]
	if u.n >= 0 && t.left[u.n%len(t.left)].Load() > 0 && time.Since(u.at) < lateAfter {
		return load.Later
	}
	u.n, u.at = int(t.said.Add(1)-1), time.Now()
	t.left[u.n%len(t.left)].Store(int32(len(t.members) - 1))
	m.Method, m.URI, m.From, m.To = "MESSAGE", roomURI, t.speaker(slot).uri, roomURI
	m.Body = t.stage.fill(m.Body, roomMailbox, u.n)
	return load.Send
}

// speaker returns the speaker of a slot. Speakers are distributed over the members
// except the first.
func (t *talk) speaker(slot int) *person {
	return &t.members[1+slot*(len(t.members)-1)/len(t.current)]
}

// arrived records message n of a member.
func (t *talk) arrived(user, n int) {
	t.left[n%len(t.left)].Add(-1)
	t.mu.Lock()
	t.seen[user] = append(t.seen[user], n)
	t.mu.Unlock()
}

// disordered returns the number of messages that members received in another order than
// the first member, which receives all of them.
func (t *talk) disordered() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	place := make([]int, t.said.Load())
	for i, n := range t.seen[0] {
		place[n] = i + 1
	}
	wrong := int64(0)
	for _, seen := range t.seen {
		last := 0
		for _, n := range seen {
			if place[n] < last && place[n] > 0 {
				wrong++
			}
			last = max(last, place[n])
		}
	}
	return wrong
}
