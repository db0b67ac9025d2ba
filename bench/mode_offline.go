package main

import (
	"context"
	"fmt"
	"time"

	"silod/bench/load"
)

// runStore sends to users who are offline.
func runStore(ctx context.Context, s *stage) error {
	if err := s.steady(ctx, s.each(s.people(s.users), s.message), successes); err != nil {
		return err
	}
	rows, err := s.system.rows(ctx)
	if err != nil {
		return err
	}
	promised := s.load.Counts().Answers(200, 300)
	kept := int64(rows - s.options.rows)
	s.sample.Missing, s.sample.Repeated = max(0, promised-kept), max(0, kept-promised)
	if promised == 0 {
		return fmt.Errorf("nothing was stored; %s", statuses(s.load.Counts()))
	}
	return nil
}

// runDeliver stores messages and has their recipients come online.
func runDeliver(ctx context.Context, s *stage) error {
	people := s.people(s.users)
	stored, err := s.deposit(ctx, people)
	if err != nil {
		return err
	}
	s.toggleProfile()
	before, err := s.read()
	if err != nil {
		return err
	}
	if err := s.registerAll(ctx, people); err != nil {
		return err
	}
	arrived, err := s.collect(ctx, stored)
	if err != nil {
		return err
	}
	s.toggleProfile()
	if err := s.waitDeleted(ctx); err != nil {
		return err
	}
	after, err := s.read()
	if err != nil {
		return err
	}
	if err := s.quiet(ctx); err != nil { // repeated messages come last
		return err
	}
	after.totals = s.ledger.Totals()
	s.record(before, after, after.totals.Arrived-before.totals.Arrived)
	s.sample.Seconds = arrived.Sub(before.at).Seconds()
	s.sample.Rate = float64(s.sample.Done) / s.sample.Seconds
	s.sample.Missing = stored - s.sample.Done
	return nil
}

// deposit stores the messages, those for a user one after the other, and returns their
// number.
func (s *stage) deposit(ctx context.Context, people []person) (int64, error) {
	err := s.load.Do(ctx, s.each(people, func(i int, p *person, m *load.Message) load.Turn {
		if p.sent == s.mailbox {
			return load.Done
		}
		return s.message(i, p, m)
	}))
	if err != nil {
		return 0, err
	}
	c := s.load.Counts()
	if n := c.Answers(200, 300); n != int64(len(people)*s.mailbox) {
		return 0, fmt.Errorf("stored %d of %d messages; %s", n, len(people)*s.mailbox, statuses(c))
	}
	return c.Answers(200, 300), nil
}

// collect waits until all messages have arrived, or none has for 20 s. It returns the
// time of the last arrival.
func (s *stage) collect(ctx context.Context, all int64) (time.Time, error) {
	const timeout = 20 * time.Second
	last, got := time.Now(), int64(-1)
	for {
		now := s.ledger.Totals().Arrived
		if now != got {
			last, got = time.Now(), now
		}
		if got >= all || time.Since(last) > timeout {
			return last, nil
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return last, err
		}
	}
}

// waitDeleted waits until all delivered messages are deleted, for a minute at most.
func (s *stage) waitDeleted(ctx context.Context) error {
	const seconds = 60
	for range seconds {
		n, err := s.system.rows(ctx)
		if err != nil || n <= s.options.rows {
			return err
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil // the messages that remain count as missing or repeated
}
