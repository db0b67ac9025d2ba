// Package load makes SIP traffic: clients on sockets of their own that keep a number
// of requests open, and answer what they get. It writes and reads its few messages
// itself, without a SIP stack, because it must be much cheaper than what it measures.
//
// It knows nothing of the systems that are measured, nor of what is done with the
// numbers. Only a Ledger has a lock; all other shared state is atomic counters.
package load

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Config describes the traffic.
type Config struct {
	Network string         // udp or tcp
	Server  netip.AddrPort // where everything goes
	Clients int            // sockets
	Open    int            // requests open at once on all of them together
	Heard   func(Request)  // told of each request from the server before it is answered
}

// Load is a number of running clients.
type Load struct {
	clients []*Client
	running sync.WaitGroup
}

// Start opens the sockets and runs the clients, which send nothing yet. Close ends
// them.
func Start(ctx context.Context, cfg Config) (*Load, error) {
	l := &Load{}
	each := max(1, (cfg.Open+cfg.Clients-1)/cfg.Clients)
	for i := range cfg.Clients {
		conn, err := dial(ctx, cfg.Network, cfg.Server)
		if err != nil {
			l.Close()
			return nil, err
		}
		c := newClient(conn, clientName(i), i*each, each, cfg.Heard)
		l.clients = append(l.clients, c)
	}
	for _, c := range l.clients {
		l.running.Go(func() { _ = c.run() }) // its links only end by Close, or with the server
	}
	return l, nil
}

// Slots is how many requests can be open.
func (l *Load) Slots() int { return len(l.clients) * len(l.clients[0].slots) }

// Contact is where a user with a number is reached: users are spread over the clients.
func (l *Load) Contact(number int, user string) string {
	return l.clients[number%len(l.clients)].contact(user)
}

// Home is the client of a slot, numbered as Contact spreads users.
func (l *Load) Home(slot int) int { return slot / len(l.clients[0].slots) }

// Clients is how many there are.
func (l *Load) Clients() int { return len(l.clients) }

// Begin sends what a source gives, in place of what the one before still had.
func (l *Load) Begin(src Source) {
	for _, c := range l.clients {
		c.idle.Store(0)
		c.source.Store(&src)
		c.link.deadline(time.Now()) // look up
	}
}

// Do sends what a source gives and waits until it is Done and all is answered, or
// given up. Nothing may be open when it is called.
func (l *Load) Do(ctx context.Context, src Source) error {
	l.Begin(src)
	for {
		if l.Idle() {
			return nil
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return fmt.Errorf("%d requests open: %w", l.open(), err)
		}
	}
}

// Finish stops sending and waits until what is open is answered or given up.
func (l *Load) Finish(ctx context.Context) error {
	return l.Do(ctx, func(int, *Message) Turn { return Done })
}

// Idle tells whether all slots are Done.
func (l *Load) Idle() bool {
	for _, c := range l.clients {
		if c.idle.Load() < int64(len(c.slots)) || c.open.Load() > 0 {
			return false
		}
	}
	return true
}

func (l *Load) open() (n int64) {
	for _, c := range l.clients {
		n += c.open.Load()
	}
	return n
}

// Close ends the clients.
func (l *Load) Close() {
	for _, c := range l.clients {
		c.link.close()
	}
	l.running.Wait()
}

// Counts is what all clients together had counted at some moment.
type Counts struct {
	At      time.Time
	Sent    int64      // requests, without retransmissions
	Resent  int64      // retransmissions
	Lost    int64      // requests that were never answered
	Late    int64      // answers to what had been answered
	Heard   int64      // requests from the server, retransmissions too
	Faults  int64      // what could not be read or sent
	Status  [700]int64 // final answers
	Latency Distribution
}

// counts is a client's own part of Counts.
type counts struct {
	sent, resent, lost, late, heard, faults atomic.Int64
	status                                  [700]atomic.Int64
	latency                                 Histogram
}

// Counts adds all clients' counts up.
func (l *Load) Counts() *Counts {
	t := &Counts{At: time.Now()}
	for _, c := range l.clients {
		t.Sent += c.counts.sent.Load()
		t.Resent += c.counts.resent.Load()
		t.Lost += c.counts.lost.Load()
		t.Late += c.counts.late.Load()
		t.Heard += c.counts.heard.Load()
		t.Faults += c.counts.faults.Load()
		for i := range t.Status {
			t.Status[i] += c.counts.status[i].Load()
		}
		c.counts.latency.addTo(&t.Latency)
	}
	return t
}

// Since is what was counted after an earlier moment.
func (t *Counts) Since(before *Counts) *Counts {
	d := *t
	d.Sent -= before.Sent
	d.Resent -= before.Resent
	d.Lost -= before.Lost
	d.Late -= before.Late
	d.Heard -= before.Heard
	d.Faults -= before.Faults
	for i := range d.Status {
		d.Status[i] -= before.Status[i]
	}
	d.Latency.Sub(&before.Latency)
	return &d
}

// Answers is how many final answers had a status from low up to, but not including,
// high.
func (t *Counts) Answers(low, high int) (n int64) {
	for _, v := range t.Status[low:high] {
		n += v
	}
	return n
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
