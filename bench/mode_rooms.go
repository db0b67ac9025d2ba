package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"silod/bench/load"
)

// roomSize is the number of members of each room in mode rooms.
const roomSize = 10

// runRooms sends messages to as many rooms as there are users. Each user speaks in one room,
// of which the next users are the other members.
func runRooms(ctx context.Context, s *stage) error {
	people := s.people(s.users)
	if err := s.registerAll(ctx, people); err != nil {
		return err
	}
	size := min(roomSize, len(people))
	if err := s.assembleRooms(ctx, people, size); err != nil {
		return err
	}
	t := newTalks(s, people, size)
	arrived := t.arrived
	s.arrived.Store(&arrived)
	answered := s.load.Counts().Answers(200, 300)
	err := s.steady(ctx, t.speak, func(r reading) int64 { return r.totals.Arrived })
	if err != nil {
		return err
	}
	all := (s.load.Counts().Answers(200, 300) - answered) * int64(size-1)
	if _, err := s.collect(ctx, all); err != nil {
		return err
	}
	s.sample.Missing = max(0, all-s.ledger.Totals().Arrived)
	s.sample.Disordered = t.disordered.Load()
	return nil
}

// roomOf returns the address of the room in which a user speaks.
func roomOf(user int) string { return "sip:chat-" + strconv.Itoa(user+1) + "@" + domain }

// assembleRooms has each user create a room and the next users join it.
func (s *stage) assembleRooms(ctx context.Context, people []person, size int) error {
	before := s.load.Counts()
	for n := range size { // the rooms have their owners before others join
		turn := s.each(people, func(i int, _ *person, m *load.Message) load.Turn {
			m.Method, m.URI = "MESSAGE", roomOf(i)
			m.From, m.To = people[(i+n)%len(people)].uri, m.URI
			m.Body = append(m.Body[:0], "#join"...)
			return load.Send
		})
		left := make([]int, s.load.Slots())
		for i := range people {
			left[i%len(left)]++
		}
		err := s.load.Do(ctx, func(slot int, m *load.Message) load.Turn {
			if left[slot] == 0 {
				return load.Done
			}
			left[slot]--
			return turn(slot, m)
		})
		if err != nil {
			return fmt.Errorf("join %d rooms: %w", len(people), err)
		}
	}
	got := s.load.Counts().Since(before)
	if got.Answers(200, 300) != int64(len(people)*size) {
		return fmt.Errorf("create %d rooms of %d members: %s", len(people), size, statuses(got))
	}
	return s.quiet(ctx)
}

// talks are the messages in many rooms. A slot of the load is the speaker of one room at a time
// and sends the next message when the other members have received the last one.
type talks struct {
	stage      *stage
	people     []person
	size       int
	slots      int
	current    []utterance    // by slot
	left       []atomic.Int32 // members without the last message, by slot
	disordered atomic.Int64

	mu   sync.Mutex
	last []map[int]int // the number of the last message of each slot, by user
}

func newTalks(s *stage, people []person, size int) *talks {
	t := &talks{stage: s, people: people, size: size, slots: s.load.Slots(), last: make([]map[int]int, len(people))}
	t.current, t.left = make([]utterance, t.slots), make([]atomic.Int32, t.slots)
	for i := range t.current {
		t.current[i].n = -1
	}
	for i := range t.last {
		t.last[i] = make(map[int]int)
	}
	return t
}

// speak is the source of the load. The number of a message is that of the slot plus a multiple
// of the number of slots.
func (t *talks) speak(slot int, m *load.Message) load.Turn {
	if slot >= len(t.people) {
		return load.Done // more slots than people
	}
	u := &t.current[slot]
	switch {
	case u.n < 0:
		u.n = slot
	case t.left[slot].Load() > 0 && time.Since(u.at) < lateAfter:
		return load.Later
	default:
		u.n += t.slots
	}
	u.at = time.Now()
	t.left[slot].Store(int32(t.size - 1))
	user := u.n % len(t.people)
	m.Method, m.URI, m.From, m.To = "MESSAGE", roomOf(user), t.people[user].uri, roomOf(user)
	m.Body = t.stage.fill(m.Body, roomMailbox, u.n)
	return load.Send
}

// arrived records message n of a member.
func (t *talks) arrived(user, n int) {
	slot := n % t.slots
	t.left[slot].Add(-1)
	t.mu.Lock()
	defer t.mu.Unlock()
	if n < t.last[user][slot] {
		t.disordered.Add(1)
	}
	t.last[user][slot] = max(n, t.last[user][slot])
}
