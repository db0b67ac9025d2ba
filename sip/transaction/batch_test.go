package transaction

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"silod/sip"
)

// runBlocked runs layers and blocks all their UDP readers until release is called. Datagrams
// that are sent before stay in the socket, and are read as one batch.
func runBlocked(t *testing.T, handle func(*ServerTx) Work) (s *layers, udp netip.AddrPort, release func()) {
	t.Helper()
	hold := make(chan struct{})
	s, udp, _ = runLayers(t, config{}, handler{work: func(tx *ServerTx) Work {
		if tx.Request.Target.User == "blocker" {
			<-hold
			tx.Respond(200, "")
			return nil
		}
		return handle(tx)
	}})
	c := dial(t, "udp", udp)
	for i := range readers {
		send(t, c, strings.Replace(message(c, fmt.Sprint("z9hG4bKblock", i)), "sip:bob@", "sip:blocker@", 1))
		for s.Handlers() <= i {
			time.Sleep(time.Millisecond)
		}
	}
	return s, udp, func() { close(hold) }
}

// TestBatch checks that each datagram of a batch gets its own answer, even if others are
// malformed, are retransmissions, are answered later, or have too large an answer.
func TestBatch(t *testing.T) {
	s, udp, release := runBlocked(t, func(tx *ServerTx) Work {
		switch branch := tx.Request.Via.Branch(); branch[len(branch)-1] {
		case '0':
			return func(context.Context) {
				time.Sleep(time.Millisecond)
				tx.Respond(202, "")
			}
		case '1':
			tx.Respond(200, "", sip.Header{Name: "X-Large", Value: strings.Repeat("x", 65536)})
		default:
			tx.Respond(200, "")
		}
		return nil
	})
	c := dial(t, "udp", udp)
	const n = 5 * 16
	want := map[string]int{}
	for i := range n {
		m := message(c, fmt.Sprint("z9hG4bKbatch", i), extraHeaders)
		switch i % 10 {
		case 0:
			want[fmt.Sprint("202 ", i)] = 1
		case 1: // its answer exceeds a datagram
		case 2:
			m = strings.Replace(m, "CSeq: 1 MESSAGE", "CSeq: 1 OPTIONS", 1)
			want[fmt.Sprint("400 ", i)] = 1
		case 3:
			send(t, c, m)
			want[fmt.Sprint("200 ", i)] = 2
		default:
			want[fmt.Sprint("200 ", i)] = 1
		}
		send(t, c, m)
	}
	release()
	for range n { // of ten requests one gets no answer and one gets two
		r := receive(t, c, timeout)
		_, branch, _ := strings.Cut(r, "z9hG4bKbatch")
		branch, _, _ = strings.Cut(branch, ";")
		want[status(r)+" "+branch]--
	}
	for answer, missing := range want {
		if missing != 0 {
			t.Errorf("%q: %d too few", answer, missing)
		}
	}
	if lost := s.sockets.Stats.DroppedSends.Value(); lost != n/10 {
		t.Errorf("%d answers could not be sent, want %d", lost, n/10)
	}
}

// TestAfterReply checks that the answers of a batch are sent together, and that the functions
// of AfterReply are called after that. It includes a single answer, which Work sends.
func TestAfterReply(t *testing.T) {
	hold, sent := make(chan struct{}), make(chan string, 3)
	_, udp, release := runBlocked(t, func(tx *ServerTx) Work {
		branch := tx.Request.Via.Branch()
		answer := func() {
			tx.Respond(200, "")
			tx.AfterReply(func() { sent <- branch })
		}
		switch branch {
		case "z9hG4bKwork":
			return func(context.Context) { answer() }
		case "z9hG4bKsecond":
			answer()
			<-hold // before the answers of the batch are sent
		default:
			answer()
		}
		return nil
	})
	c := dial(t, "udp", udp)
	send(t, c, message(c, "z9hG4bKfirst"))
	send(t, c, message(c, "z9hG4bKsecond"))
	release()
	if r := receive(t, c, quietTime); r != "" || len(sent) > 0 {
		t.Errorf("before the end of the batch, %d functions ran, and an answer was sent: %s", len(sent), r)
	}
	close(hold)
	for _, branch := range []string{"z9hG4bKfirst", "z9hG4bKsecond", "z9hG4bKwork"} {
		if branch == "z9hG4bKwork" {
			send(t, c, message(c, branch))
		}
		if r := receive(t, c, timeout); status(r) != "200" {
			t.Errorf("answered %q", r)
		}
		if got := <-sent; got != branch {
			t.Errorf("the function of %s ran, want that of %s", got, branch)
		}
	}
}

// TestBatchWhenStopping checks that Run sends the answers of a batch before it returns.
func TestBatchWhenStopping(t *testing.T) {
	answered := make(chan struct{})
	s, udp, release := runBlocked(t, func(tx *ServerTx) Work {
		tx.Respond(200, "")
		if tx.Request.Via.Branch() == "z9hG4bKlast" {
			answered <- struct{}{}
			time.Sleep(quietTime) // until Run is told to stop
		}
		return nil
	})
	c := dial(t, "udp", udp)
	send(t, c, message(c, "z9hG4bKfirst"))
	send(t, c, message(c, "z9hG4bKlast"))
	release()
	<-answered
	s.stop()
	for range 2 {
		if r := receive(t, c, timeout); status(r) != "200" {
			t.Errorf("answered %q", r)
		}
	}
}
