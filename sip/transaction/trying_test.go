package transaction

import (
	"strings"
	"testing"
	"time"
)

// TestTrying checks that a request over UDP that has no final answer when the client's
// Timer E has reached T2 is answered 100, once and again for each retransmission, and that
// no other is (RFC 4320 section 4.1).
func TestTrying(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	_, udp, tcp := runLayers(t, config{}, serveLater(func(tx *ServerTx) {
		if strings.Contains(tx.Request.Via.Branch(), "quick") {
			time.Sleep(time.Second)
		} else {
			<-answer
		}
		tx.Respond(202, "")
	}))
	slow, quick, stream := dial(t, "udp", udp), dial(t, "udp", udp), dial(t, "tcp", tcp)
	start := time.Now()
	send(t, slow, message(slow, "z9hG4bKslow"))
	send(t, quick, message(quick, "z9hG4bKquick"))
	send(t, stream, message(stream, "z9hG4bKstream"))
	r := receive(t, slow, timeout)
	if d := time.Since(start); !strings.HasPrefix(r, "SIP/2.0 100 Trying\r\n") || d < tryingTime || d > tryingTime+time.Second {
		t.Errorf("after %v: %q", d, r)
	}
	if strings.Contains(r, "To: <sip:bob@127.0.0.1>;tag") {
		t.Error("the 100 has a To tag")
	}
	if r := receive(t, slow, quietTime); r != "" {
		t.Errorf("after the 100: %q", r)
	}
	send(t, slow, message(slow, "z9hG4bKslow"))
	if r := receive(t, slow, timeout); status(r) != "100" {
		t.Errorf("retransmission: %q", r)
	}
	close(answer)
	for _, want := range []string{"202", "202"} {
		if r := receive(t, slow, timeout); status(r) != want {
			t.Errorf("%q, want %s", r, want)
		}
		send(t, slow, message(slow, "z9hG4bKslow"))
	}
	if r := receive(t, quick, timeout); status(r) != "202" {
		t.Errorf("answered after a second: %q", r)
	}
	if r := receive(t, quick, quietTime); r != "" {
		t.Errorf("behind the final answer: %q", r)
	}
	if r := receive(t, stream, timeout); status(r) != "202" {
		t.Errorf("over TCP: %q", r)
	}
}

// TestUnanswered checks that the transactions that wait for an answer are found whatever the
// order in which others are answered.
func TestUnanswered(t *testing.T) {
	tab := newServerTable(1_000_000)
	var txs []*ServerTx
	now := time.Now()
	for i := range 5000 {
		tx := numbered(i)
		tx.Received = now
		tab.begin(tx)
		txs = append(txs, tx)
	}
	for i, tx := range txs {
		if i%3 != 0 {
			tab.finish(tx, plainAnswer(202))
		}
	}
	if due := tab.trying(now.Add(tryingTime - 1)); len(due) > 0 {
		t.Errorf("%d are due too early", len(due))
	}
	due := tab.trying(now.Add(tryingTime))
	found := map[*ServerTx]bool{}
	for _, tx := range due {
		found[tx] = true
	}
	for i, tx := range txs {
		if found[tx] != (i%3 == 0) {
			t.Fatalf("transaction %d: due %t", i, found[tx])
		}
		if i%3 == 0 {
			if st, a := tab.begin(tx); st != txAnswered || a.status != 100 {
				t.Fatalf("a retransmission of %d gets %v, %v", i, st, a)
			}
			tab.finish(tx, plainAnswer(202))
		}
	}
	if due := tab.trying(now.Add(time.Hour)); len(due) > 0 {
		t.Errorf("%d are due twice", len(due))
	}
}
