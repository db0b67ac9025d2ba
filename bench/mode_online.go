package main

import (
	"context"
	"fmt"

	"silod/bench/load"
	"silod/bench/proc"
)

// runRaw sends requests that are refused immediately.
func runRaw(ctx context.Context, s *stage) error {
	people := s.people(s.users)
	for i := range people {
		people[i].uri = "sip:" + people[i].name + "@elsewhere.example.net"
	}
	held, err := proc.Memory(s.system.daemon.PID())
	if err != nil {
		return err
	}
	refused := func(r reading) int64 { return r.counts.Answers(400, 500) }
	if err := s.steady(ctx, s.each(people, s.message), refused); err != nil {
		return err
	}
	return s.weigh(held, s.load.Counts().Answers(400, 500))
}

// runRegister refreshes registrations.
func runRegister(ctx context.Context, s *stage) error {
	held, err := proc.Memory(s.system.daemon.PID())
	if err != nil {
		return err
	}
	people := s.people(s.users)
	if err := s.registerAll(ctx, people); err != nil {
		return err
	}
	if err := s.weigh(held, int64(len(people))); err != nil {
		return err
	}
	return s.steady(ctx, s.each(people, func(_ int, p *person, m *load.Message) load.Turn {
		p.register(m)
		return load.Send
	}), successes)
}

// weigh records the memory that each of n things takes: the growth since the daemon had
// held bytes, with the reserve of the allocator.
func (s *stage) weigh(held, n int64) error {
	now, err := proc.Memory(s.system.daemon.PID())
	s.sample.Each = float64(now-held) / float64(max(n, 1))
	return err
}

// runRelay sends to users who are online.
func runRelay(ctx context.Context, s *stage) error {
	people := s.people(s.users)
	if err := s.registerAll(ctx, people); err != nil {
		return err
	}
	registered := s.load.Counts().Answers(200, 300)
	if err := s.steady(ctx, s.each(people, s.message), successes); err != nil {
		return err
	}
	if s.sample.Done == 0 {
		return fmt.Errorf("nothing was relayed; %s", statuses(s.load.Counts()))
	}
	all := s.load.Counts().Answers(200, 300) - registered
	if _, err := s.collect(ctx, all); err != nil {
		return err
	}
	s.sample.Missing = max(0, all-s.ledger.Totals().Arrived)
	return nil
}
