package transaction

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"silod/sip"
	"silod/sip/transport"
)

var peer = sip.Flow{Transport: sip.UDP, Local: netip.MustParseAddrPort("127.0.0.1:5060"), Remote: netip.MustParseAddrPort("127.0.0.1:5070")}

// wire records when the table sends.
type wire struct {
	mu    sync.Mutex
	start time.Time
	at    []time.Duration
}

func (w *wire) send(sip.Flow, []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = append(w.at, time.Since(w.start).Round(wheelTick))
	return nil
}

// times is when it did.
func (w *wire) times() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.at)
}

// inTable runs a test with a client table and its clock.
func inTable(t *testing.T, f func(tab *clientTable, w *wire)) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{start: time.Now()}
		tab := newClientTable(100, w.send)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			tick := time.NewTicker(wheelTick)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					tab.tick()
				}
			}
		}()
		f(tab, w)
		cancel()
	})
}

func begin(t *testing.T, tab *clientTable, f sip.Flow) (*ClientTx, chan Result) {
	t.Helper()
	results := make(chan Result, 1)
	c := &ClientTx{Flow: f, branch: newBranch(sip.AoR{}), results: results, table: tab}
	if err := tab.start(c, []byte("x")); err != nil {
		t.Fatal(err)
	}
	return c, results
}

// RFC 3261 section 17.1.2.2: Timer E doubles from T1 up to T2, Timer F ends it.
func TestClientRetransmitsAndTimesOut(t *testing.T) {
	inTable(t, func(tab *clientTable, w *wire) {
		_, results := begin(t, tab, peer)
		r := <-results
		if !errors.Is(r.Err, ErrTimeout) {
			t.Errorf("got %v", r.Err)
		}
		if d := time.Since(w.start); d < timerF || d > timerF+wheelTick {
			t.Errorf("Timer F fired after %v", d)
		}
		s := time.Second
		want := []time.Duration{0, s / 2, s + s/2, 3*s + s/2, 7*s + s/2, 11*s + s/2, 15*s + s/2, 19*s + s/2, 23*s + s/2, 27*s + s/2, 31*s + s/2}
		if at := w.times(); !slices.Equal(at, want) {
			t.Errorf("sent at %v", at)
		}
		if tab.live.Load() != 0 {
			t.Error("the call is still counted")
		}
	})
}

func TestClientProvisionalSlowsDown(t *testing.T) {
	inTable(t, func(tab *clientTable, w *wire) {
		c, results := begin(t, tab, peer)
		time.Sleep(200 * time.Millisecond)
		if !tab.receive(c.branch, peer, &sip.Message{Status: 100}) {
			t.Error("100 was not taken")
		}
		time.Sleep(9 * time.Second)
		tab.receive(c.branch, peer, &sip.Message{Status: 200})
		if r := <-results; r.Err != nil || r.Response.Status != 200 {
			t.Errorf("got %+v", r)
		}
		if at := w.times(); len(at) != 4 { // at 0, 0.5, 4.5 and 8.5 s
			t.Errorf("sent at %v", at)
		}
		if tab.receive(c.branch, peer, &sip.Message{Status: 200}) {
			t.Error("a repeated response found a call")
		}
	})
}

func TestClientStreamIsNotRetransmitted(t *testing.T) {
	inTable(t, func(tab *clientTable, w *wire) {
		f := sip.Flow{Transport: sip.TCP, Remote: peer.Remote, Conn: 7}
		c, results := begin(t, tab, f)
		other := f
		other.Conn = 8
		if tab.receive(c.branch, other, &sip.Message{Status: 200}) {
			t.Error("a response from a stranger's connection was believed")
		}
		r := <-results
		if at := w.times(); !errors.Is(r.Err, ErrTimeout) || len(at) != 1 {
			t.Errorf("%v, sent at %v", r.Err, at)
		}
	})
}

func TestClientFailsWithItsConnection(t *testing.T) {
	inTable(t, func(tab *clientTable, _ *wire) {
		f := sip.Flow{Transport: sip.TCP, Remote: peer.Remote, Conn: 7}
		_, results := begin(t, tab, f)
		_, kept := begin(t, tab, sip.Flow{Transport: sip.TCP, Remote: peer.Remote, Conn: 8})
		tab.fail(f, transport.ErrClosed)
		if r := <-results; !errors.Is(r.Err, transport.ErrClosed) {
			t.Errorf("got %v", r.Err)
		}
		select {
		case r := <-kept:
			t.Errorf("another connection's call ended: %v", r.Err)
		default:
		}
	})
}

// A connection that closes while a call is being sent ends the call once: by a
// Result, or by an error of Send, and never by both.
func TestClientThatFailsTwiceEndsOnce(t *testing.T) {
	var tab *clientTable
	tab = newClientTable(100, func(f sip.Flow, _ []byte) error {
		tab.fail(f, transport.ErrClosed)
		return transport.ErrTransport
	})
	results := make(chan Result, 2)
	c := &ClientTx{Flow: sip.Flow{Transport: sip.TCP, Remote: peer.Remote, Conn: 7}, branch: newBranch(sip.AoR{}), results: results, table: tab}
	if err := tab.start(c, nil); err != nil {
		t.Errorf("a call that has a Result was refused: %v", err)
	}
	if len(results) != 1 || !errors.Is((<-results).Err, transport.ErrClosed) || tab.live.Load() != 0 {
		t.Error("the call did not end once")
	}
}

func TestClientTableIsBounded(t *testing.T) {
	inTable(t, func(tab *clientTable, _ *wire) {
		for range 100 {
			begin(t, tab, peer)
		}
		c := &ClientTx{Flow: peer, branch: newBranch(sip.AoR{}), results: make(chan Result, 1), table: tab}
		if err := tab.start(c, nil); !errors.Is(err, ErrBusy) {
			t.Errorf("call 101: %v", err)
		}
	})
}

func TestBranchesAreUniqueAndUnguessable(t *testing.T) {
	seen := map[string]bool{}
	for range 10_000 {
		b := newBranch(sip.AoR{})
		if seen[b] || len(b) < len(magicCookie)+16 {
			t.Fatalf("branch %s", b)
		}
		seen[b] = true
	}
}

// TestAnswerWhileSending: a provisional response may come before start returns. Run it
// with -race.
func TestAnswerWhileSending(t *testing.T) {
	var tab *clientTable
	var answered sync.WaitGroup
	tab = newClientTable(1000, func(f sip.Flow, b []byte) error {
		answered.Go(func() { tab.receive(string(b), f, &sip.Message{Status: 100}) })
		return nil
	})
	for range 1000 {
		c := &ClientTx{Flow: peer, branch: newBranch(sip.AoR{}), results: make(chan Result, 1), table: tab}
		if err := tab.start(c, []byte(c.branch)); err != nil {
			t.Fatal(err)
		}
	}
	answered.Wait()
}
