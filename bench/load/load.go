// Package load generates SIP traffic. Its clients, each with a socket, keep a number of
// requests open and answer the requests that they receive. It formats and parses its
// messages itself, because it must use much less CPU time than the measured server.
//
// A Ledger has a lock; all other shared state is atomic counters.
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
	Server  netip.AddrPort // to which all requests are sent
	Clients int            // number of sockets
	Open    int            // number of open requests of all clients together
	Heard   func(Request)  // called for each request from the server before the answer
}

// A Load is a set of running clients.
type Load struct {
	clients []*Client
	running sync.WaitGroup
}

// Start opens the sockets and starts the clients, which send nothing before Begin or Do.
// The caller must call Close.
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
		l.running.Go(func() { _ = c.run() }) // its link ends by Close or with the server
	}
	return l, nil
}

// Slots returns the number of requests that can be open.
func (l *Load) Slots() int { return len(l.clients) * len(l.clients[0].slots) }

// Contact returns the contact URI of a user. The number selects the client.
func (l *Load) Contact(number int, user string) string {
	return l.clients[number%len(l.clients)].contact(user)
}

// Home returns the index of the client of a slot. Contact uses the same index for user
// numbers modulo Clients.
func (l *Load) Home(slot int) int { return slot / len(l.clients[0].slots) }

// Clients returns the number of clients.
func (l *Load) Clients() int { return len(l.clients) }

// Begin sends the requests of src in place of those of the previous source.
func (l *Load) Begin(src Source) {
	for _, c := range l.clients {
		c.idle.Store(0)
		c.source.Store(&src)
		c.link.deadline(time.Now()) // wake the client
	}
}

// Do sends the requests of src and waits until it is Done and each request is answered or
// has timed out. No request may be open when it is called.
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

// Finish stops sending and waits until each open request is answered or has timed out.
func (l *Load) Finish(ctx context.Context) error {
	return l.Do(ctx, func(int, *Message) Turn { return Done })
}

// Idle reports whether all slots are Done.
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

// Close closes the sockets and waits for the clients to end.
func (l *Load) Close() {
	for _, c := range l.clients {
		c.link.close()
	}
	l.running.Wait()
}

// Counts are the counters of all clients together at some moment.
type Counts struct {
	At      time.Time
	Sent    int64      // requests, without retransmissions
	Resent  int64      // retransmissions
	Lost    int64      // requests that timed out
	Late    int64      // answers to requests that had been answered before
	Heard   int64      // requests from the server, with retransmissions
	Faults  int64      // messages that could not be read or sent
	Status  [700]int64 // final answers
	Latency Distribution
}

// counts are the counters of one client.
type counts struct {
	sent, resent, lost, late, heard, faults atomic.Int64
	status                                  [700]atomic.Int64
	latency                                 Histogram
}

// Counts returns the sums of the counters of all clients.
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

// Since returns the difference from an earlier moment.
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

// Answers returns the number of final answers with a status of at least low and less than
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
