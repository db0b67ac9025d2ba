package silo

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
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
	s = New(Options{Store: store, Now: clock}, Settings{Mailbox: Usage{Messages: 50_000}, PerSender: Usage{Messages: 100}})
	calls = 0
	if err := message("sip:earlier@example.org"); err != nil {
		t.Error(err)
	}
	if store.readings != 3 {
		t.Errorf("%d readings, want one of the mailbox and one of each sender", store.readings)
	}
}

// A frozen store answers nothing.
type frozen struct{ Store }

func (frozen) Usage(ctx context.Context, _ sip.AoR, _ string, _ bool) (Usage, error) {
	<-ctx.Done()
	return Usage{}, ctx.Err()
}

func (frozen) Charges(ctx context.Context) ([]Charge, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// While the database hangs, all that a message waits for fails after a while.
func TestReadingsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := func(ctx context.Context, _ sip.AoR) (bool, error) {
			<-ctx.Done()
			return false, ctx.Err()
		}
		s := New(Options{Store: frozen{}}, Settings{Mailbox: Usage{Messages: 10}, Strangers: Usage{1, 0}})
		owner := sip.AoR{User: "bob", Domain: "example.org"}
		for name, read := range map[string]func() error{
			"user": func() error {
				_, err := NewDirectory(hangs, time.Now).Exists(t.Context(), owner)
				return err
			},
			"mailbox": func() error {
				_, err := s.reserve(t.Context(), s.cfg(), &Message{Owner: owner}, 10, false)
				return err
			},
			"strangers": func() error {
				c := &Charge{Source: nearby, Bytes: 1}
				_ = s.reserveCharge(t.Context(), s.cfg(), c)
				return s.reserveCharge(t.Context(), s.cfg(), c)
			},
		} {
			start := time.Now()
			if err := read(); err == nil {
				t.Errorf("%s: no error", name)
			}
			if took := time.Since(start); took != readTimeout {
				t.Errorf("%s: took %v", name, took)
			}
		}
	})
}
