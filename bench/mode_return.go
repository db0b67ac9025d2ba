package main

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"silod/bench/load"
)

// returning is the part of the users whose devices return in mode return.
const returning = 10

// runReturn has the devices of all users fall silent while a message to each is under way,
// and some of them register from another address. The latency is the time from such a
// REGISTER until the message arrives there.
func runReturn(ctx context.Context, s *stage) error {
	if s.transport != "udp" {
		return errors.New("over a connection, a device returns when the connection is closed: use -transport udp")
	}
	silent, err := new(net.ListenConfig).ListenPacket(ctx, "udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer silent.Close()
	people := s.people(s.users)
	at := func(_ int, name string) string { return "sip:" + name + "@" + silent.LocalAddr().String() }
	if err := s.registerAt(ctx, people, at); err != nil {
		return err
	}
	if err := s.load.Do(ctx, s.each(people, func(i int, p *person, m *load.Message) load.Turn {
		if p.sent > 0 {
			return load.Done
		}
		return s.message(i, p, m)
	})); err != nil { // each is answered 202 after sip.accept_timeout
		return err
	}
	back := people[:max(1, len(people)/returning)]
	asked, took := make([]atomic.Int64, len(people)), make([]atomic.Int64, len(people))
	start := time.Now()
	arrived := func(user, _ int) { took[user].Store(int64(time.Since(start)) - asked[user].Load()) }
	s.arrived.Store(&arrived)
	for i := range back {
		back[i].seq = 0
		back[i].callID += "-again"
	}
	before, err := s.read()
	if err != nil {
		return err
	}
	if err := s.registerAt(ctx, back, func(i int, name string) string {
		asked[i].Store(int64(time.Since(start)))
		return s.load.Contact(i, name)
	}); err != nil {
		return err
	}
	if _, err := s.collect(ctx, int64(len(back))); err != nil {
		return err
	}
	after, err := s.read()
	if err != nil {
		return err
	}
	s.record(before, after, after.totals.Arrived-before.totals.Arrived)
	s.sample.Missing = int64(len(back)) - s.sample.Done
	s.recordLatency(took)
	return nil
}

// recordLatency replaces the latencies of the sample by times, of which 0 is none.
func (s *stage) recordLatency(times []atomic.Int64) {
	var list []time.Duration
	for i := range times {
		if d := times[i].Load(); d != 0 {
			list = append(list, time.Duration(d))
		}
	}
	if len(list) == 0 {
		return
	}
	slices.Sort(list)
	at := func(q float64) float64 { return millis(list[min(int(q*float64(len(list))), len(list)-1)]) }
	s.sample.P50, s.sample.P99, s.sample.Longest = at(0.5), at(0.99), at(1)
}
