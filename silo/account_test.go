package silo

import (
	"context"
	"errors"
	"testing"
	"time"

	"silod/sip"
)

// A crowded store has mailboxes with many messages of each sender. It counts the readings.
type crowded struct {
	Store
	readings int
}

func (c *crowded) Usage(ctx context.Context, _ sip.AoR, from string, _ bool) (Usage, error) {
	if c.readings++; c.readings > 10 {
		return Usage{}, errors.New("read too often")
	}
	if from == "" {
		return Usage{1000, 1000}, nil
	}
	return Usage{10, 10}, ctx.Err()
}

// Two messages come at the same time, and the mailbox is read for the later one first. The earlier
// one must not find its own reading older than that again and again.
func TestReadingsOfConcurrentMessages(t *testing.T) {
	store, now := &crowded{}, time.Unix(1000, 0)
	var s *Service
	message := func(from string) error {
		row := &Message{Owner: sip.AoR{User: "bob", Domain: "example.org"}, Src: from}
		d, err := s.reserve(t.Context(), s.cfg(), row, 10, false)
		d.settle(false)
		return err
	}
	calls := 0
	clock := func() time.Time {
		now = now.Add(time.Millisecond)
		at := now
		if calls++; calls == 1 {
			if err := message("sip:later@example.org"); err != nil {
				t.Error(err)
			}
		}
		return at
	}
	s = New(Options{Store: store, Now: clock}, Settings{MaxMessages: 50_000, MaxPerSender: 100})
	calls = 0
	if err := message("sip:earlier@example.org"); err != nil {
		t.Error(err)
	}
	if store.readings != 3 {
		t.Errorf("%d readings, want one of the mailbox and one of each sender", store.readings)
	}
}
