package transaction

import (
	"errors"
	"testing"

	"silod/sip"
	"silod/sip/transport"
)

// fill starts n transactions over each of two connections to others and over UDP.
func fill(tb testing.TB, tab *clientTable, n int) []*ClientTx {
	tb.Helper()
	var txs []*ClientTx
	for range n {
		for _, f := range []sip.Flow{peer, {Transport: sip.TCP, Remote: peer.Remote, Conn: 8}, {Transport: sip.TLS, Remote: peer.Remote, Conn: 9}} {
			tx := &ClientTx{Flow: f, branch: newBranch(""), results: make(chan Result, 1), table: tab}
			if err := tab.start(tx, nil); err != nil {
				tb.Fatal(err)
			}
			txs = append(txs, tx)
		}
	}
	return txs
}

func nothingSent(sip.Flow, []byte) error { return nil }

// TestClosedConnectionFindsItsOwn checks that the end of a connection ends its transactions,
// in any state of its list, and touches no others: their shards are locked.
func TestClosedConnectionFindsItsOwn(t *testing.T) {
	tab := newClientTable(1_000_000, nothingSent)
	others := fill(t, tab, 1000)
	flow := sip.Flow{Transport: sip.TCP, Remote: peer.Remote, Conn: 7}
	results := make(chan Result, 10)
	var own []*ClientTx
	for range 10 {
		tx := &ClientTx{Flow: flow, branch: newBranch(""), results: results, table: tab}
		if err := tab.start(tx, nil); err != nil {
			t.Fatal(err)
		}
		own = append(own, tx)
	}
	for _, i := range []int{9, 0, 5, 4} { // the first of the list, the last, and two beside each other
		own[i].Abandon()
	}
	used := map[*clientShard]bool{}
	for _, tx := range own {
		used[tab.shard(tx.branch)] = true
	}
	for i := range tab.shards {
		if s := &tab.shards[i]; !used[s] {
			s.mu.Lock()
			t.Cleanup(s.mu.Unlock)
		}
	}
	tab.fail(7, transport.ErrClosed)
	if len(results) != 6 {
		t.Errorf("%d transactions ended", len(results))
	}
	for len(results) > 0 {
		if r := <-results; r.Tx.Flow != flow || !errors.Is(r.Err, transport.ErrClosed) {
			t.Errorf("%s ended: %v", r.Tx.Flow, r.Err)
		}
	}
	if n := tab.live.Load(); n != int64(len(others)) {
		t.Errorf("%d transactions are left", n)
	}
	tab.fail(7, transport.ErrClosed)
	tab.fail(0, transport.ErrClosed) // no connection has this number: those over UDP stay
	if n := tab.live.Load(); n != int64(len(others)) || len(results) > 0 {
		t.Errorf("%d transactions are left", n)
	}
}

// TestConnIndexIsEmptied checks that no memory is left when all transactions have ended.
func TestConnIndexIsEmptied(t *testing.T) {
	tab := newClientTable(1_000_000, nothingSent)
	for i, tx := range fill(t, tab, 1000) {
		if i%2 == 0 {
			tx.Abandon()
		}
	}
	tab.fail(8, transport.ErrClosed)
	tab.fail(9, transport.ErrClosed)
	for i := range tab.conns.shards {
		if n := len(tab.conns.shards[i].first); n > 0 {
			t.Errorf("%d lists are left", n)
		}
	}
}

// BenchmarkConnectionClosed measures the end of a connection without transactions while
// 40,000 others are open.
func BenchmarkConnectionClosed(b *testing.B) {
	tab := newClientTable(1_000_000, nothingSent)
	fill(b, tab, 40_000/3)
	b.ReportAllocs()
	for b.Loop() {
		tab.fail(7, transport.ErrClosed)
	}
}

// BenchmarkClientTransaction measures a client transaction without its encoding and sending.
func BenchmarkClientTransaction(b *testing.B) {
	for name, flow := range map[string]sip.Flow{"udp": peer, "tcp": {Transport: sip.TCP, Remote: peer.Remote, Conn: 7}} {
		b.Run(name, func(b *testing.B) {
			tab := newClientTable(1_000_000, nothingSent)
			res, results := &sip.Message{Status: 200}, make(chan Result, 1)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				tx := &ClientTx{Flow: flow, branch: newBranch(""), results: results, table: tab}
				if err := tab.start(tx, nil); err != nil {
					b.Fatal(err)
				}
				tab.receive(tx.branch, flow, res)
				<-results
				if n%1000 == 0 {
					tab.tick()
				}
			}
		})
	}
}
