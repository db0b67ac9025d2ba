package transaction

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"silod/sip"
	"silod/sip/transport"
)

// A sendLog records the times at which a client table sends.
type sendLog struct {
	mu    sync.Mutex
	start time.Time
	at    []time.Duration
}

func (l *sendLog) send(sip.Flow, []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = append(l.at, time.Since(l.start).Round(wheelTick))
	return nil
}

// times returns the times since the start of the test.
func (l *sendLog) times() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.at)
}

// withTable runs f with a client table that a fake clock drives.
func withTable(t *testing.T, f func(tab *clientTable, sent *sendLog)) {
	synctest.Test(t, func(t *testing.T) {
		sent := &sendLog{start: time.Now()}
		tab := newClientTable(100, sent.send)
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
		f(tab, sent)
		cancel()
	})
}

// begin starts a client transaction.
func begin(t *testing.T, tab *clientTable, f sip.Flow) (*ClientTx, chan Result) {
	t.Helper()
	results := make(chan Result, 1)
	c := &ClientTx{Flow: f, branch: newBranch(""), results: results, table: tab}
	if err := tab.start(c, []byte("x")); err != nil {
		t.Fatal(err)
	}
	return c, results
}

// TestClientTimers checks Timer E, which doubles from T1 up to T2, and Timer F (RFC 3261
// section 17.1.2.2).
func TestClientTimers(t *testing.T) {
	withTable(t, func(tab *clientTable, sent *sendLog) {
		_, results := begin(t, tab, peer)
		r := <-results
		if !errors.Is(r.Err, ErrTimeout) {
			t.Errorf("got %v", r.Err)
		}
		if d := time.Since(sent.start); d < timerF || d > timerF+wheelTick {
			t.Errorf("Timer F fired after %v", d)
		}
		s := time.Second
		want := []time.Duration{0, s / 2, s + s/2, 3*s + s/2, 7*s + s/2, 11*s + s/2, 15*s + s/2, 19*s + s/2, 23*s + s/2, 27*s + s/2, 31*s + s/2}
		if at := sent.times(); !slices.Equal(at, want) {
			t.Errorf("sent at %v", at)
		}
		if tab.live.Load() != 0 {
			t.Error("the transaction is still counted")
		}
	})
}

func TestClientProvisionalResponse(t *testing.T) {
	withTable(t, func(tab *clientTable, sent *sendLog) {
		c, results := begin(t, tab, peer)
		time.Sleep(200 * time.Millisecond)
		if !tab.receive(c.branch, peer, &sip.Message{Status: 100}) {
			t.Error("the 100 was not accepted")
		}
		time.Sleep(9 * time.Second)
		tab.receive(c.branch, peer, &sip.Message{Status: 200})
		if r := <-results; r.Err != nil || r.Response.Status != 200 {
			t.Errorf("got %+v", r)
		}
		if at := sent.times(); len(at) != 4 { // at 0, 0.5, 4.5 and 8.5 s
			t.Errorf("sent at %v", at)
		}
		if tab.receive(c.branch, peer, &sip.Message{Status: 200}) {
			t.Error("a retransmitted response was accepted")
		}
	})
}

func TestClientOverStream(t *testing.T) {
	withTable(t, func(tab *clientTable, sent *sendLog) {
		f := sip.Flow{Transport: sip.TCP, Remote: peer.Remote, Conn: 7}
		c, results := begin(t, tab, f)
		other := f
		other.Conn = 8
		if tab.receive(c.branch, other, &sip.Message{Status: 200}) {
			t.Error("a response over another connection was accepted")
		}
		r := <-results
		if at := sent.times(); !errors.Is(r.Err, ErrTimeout) || len(at) != 1 {
			t.Errorf("%v, sent at %v", r.Err, at)
		}
	})
}

func TestClientConnectionClosed(t *testing.T) {
	withTable(t, func(tab *clientTable, _ *sendLog) {
		f := sip.Flow{Transport: sip.TCP, Remote: peer.Remote, Conn: 7}
		_, results := begin(t, tab, f)
		_, other := begin(t, tab, sip.Flow{Transport: sip.TCP, Remote: peer.Remote, Conn: 8})
		tab.fail(f.Conn, transport.ErrClosed)
		if r := <-results; !errors.Is(r.Err, transport.ErrClosed) {
			t.Errorf("got %v", r.Err)
		}
		select {
		case r := <-other:
			t.Errorf("a transaction over another connection ended: %v", r.Err)
		default:
		}
	})
}

// TestClientConnectionClosedDuringSend checks that a transaction ends either with a Result or
// with an error of start.
func TestClientConnectionClosedDuringSend(t *testing.T) {
	var tab *clientTable
	tab = newClientTable(100, func(f sip.Flow, _ []byte) error {
		tab.fail(f.Conn, transport.ErrClosed)
		return transport.ErrTransport
	})
	results := make(chan Result, 2)
	c := &ClientTx{Flow: sip.Flow{Transport: sip.TCP, Remote: peer.Remote, Conn: 7}, branch: newBranch(""), results: results, table: tab}
	if err := tab.start(c, nil); err != nil {
		t.Errorf("start returned an error besides the Result: %v", err)
	}
	if len(results) != 1 || !errors.Is((<-results).Err, transport.ErrClosed) || tab.live.Load() != 0 {
		t.Error("the transaction did not end once")
	}
}

func TestClientTableLimit(t *testing.T) {
	withTable(t, func(tab *clientTable, _ *sendLog) {
		for range 100 {
			begin(t, tab, peer)
		}
		c := &ClientTx{Flow: peer, branch: newBranch(""), results: make(chan Result, 1), table: tab}
		if err := tab.start(c, nil); !errors.Is(err, ErrBusy) {
			t.Errorf("transaction 101: %v", err)
		}
	})
}

func TestBranchesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for range 10_000 {
		b := newBranch("")
		if seen[b] || len(b) < len(magicCookie)+16 {
			t.Fatalf("branch %s", b)
		}
		seen[b] = true
	}
}

// TestClientResponseDuringSend passes a provisional response to a transaction before start
// returns. It needs -race.
func TestClientResponseDuringSend(t *testing.T) {
	var tab *clientTable
	var responses sync.WaitGroup
	tab = newClientTable(1000, func(f sip.Flow, b []byte) error {
		responses.Go(func() { tab.receive(string(b), f, &sip.Message{Status: 100}) })
		return nil
	})
	for range 1000 {
		c := &ClientTx{Flow: peer, branch: newBranch(""), results: make(chan Result, 1), table: tab}
		if err := tab.start(c, []byte(c.branch)); err != nil {
			t.Fatal(err)
		}
	}
	responses.Wait()
}
