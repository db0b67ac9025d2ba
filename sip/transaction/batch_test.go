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

// gathering starts a stack all of whose readers are busy until release is called: datagrams
// that are sent meanwhile stay in the socket, and come as one batch.
func gathering(t *testing.T, handle func(*ServerTx) Work) (s *stack, udp netip.AddrPort, release func()) {
	t.Helper()
	hold := make(chan struct{})
	s, udp, _ = running(t, Config{}, handler{work: func(r *ServerTx) Work {
		if r.Request.Target.User == "holder" {
			<-hold
			r.Respond(200, "")
			return nil
		}
		return handle(r)
	}})
	c := dial(t, "udp", udp)
	for i := range readers {
		send(t, c, strings.Replace(message(c, fmt.Sprint("z9hG4bKhold", i)), "sip:bob@", "sip:holder@", 1))
		for s.Handlers() <= i {
			time.Sleep(time.Millisecond)
		}
	}
	return s, udp, func() { close(hold) }
}

// What comes at once is answered, each its own, whatever the others are: malformed,
// repeated, answered later, or with more than a datagram can hold.
func TestBatch(t *testing.T) {
	s, udp, release := gathering(t, func(r *ServerTx) Work {
		switch branch := r.Request.Via.Branch(); branch[len(branch)-1] {
		case '0':
			return func(context.Context) {
				time.Sleep(time.Millisecond)
				r.Respond(202, "")
			}
		case '1':
			r.Respond(200, "", sip.Header{Name: "X-Large", Value: strings.Repeat("x", 65536)})
		default:
			r.Respond(200, "")
		}
		return nil
	})
	c := dial(t, "udp", udp)
	const n = 5 * 16
	want := map[string]int{}
	for i := range n {
		m := message(c, fmt.Sprint("z9hG4bKbatch", i), usual)
		switch i % 10 {
		case 0:
			want[fmt.Sprint("202 ", i)] = 1
		case 1: // no answer can leave
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
	for range n { // one is missing of ten, and one comes twice
		r := hear(t, c, patience)
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

// Answers leave together. A function that must not overtake its request's answer runs when
// that has left, whether it leaves with others or by itself, and also where the answer is
// held back.
func TestAfterReply(t *testing.T) {
	hold, left := make(chan struct{}), make(chan string, 3)
	_, udp, release := gathering(t, func(r *ServerTx) Work {
		branch := r.Request.Via.Branch()
		answer := func() {
			r.Respond(200, "")
			r.AfterReply(func() { left <- branch })
		}
		switch branch {
		case "z9hG4bKwork":
			return func(context.Context) { answer() }
		case "z9hG4bKsecond":
			answer()
			<-hold // the batch is not finished
		default:
			answer()
		}
		return nil
	})
	c := dial(t, "udp", udp)
	send(t, c, message(c, "z9hG4bKfirst"))
	send(t, c, message(c, "z9hG4bKsecond"))
	release()
	if r := hear(t, c, silence); r != "" || len(left) > 0 {
		t.Errorf("before the batch was finished, %d functions ran, and an answer left: %s", len(left), r)
	}
	close(hold)
	for _, branch := range []string{"z9hG4bKfirst", "z9hG4bKsecond", "z9hG4bKwork"} {
		if branch == "z9hG4bKwork" {
			send(t, c, message(c, branch))
		}
		if r := hear(t, c, patience); status(r) != "200" {
			t.Errorf("answered %q", r)
		}
		if got := <-left; got != branch {
			t.Errorf("ran after the answer of %s, want %s", got, branch)
		}
	}
}

// A stack that stops sends what it has answered.
func TestBatchAtTheEnd(t *testing.T) {
	answered := make(chan struct{})
	s, udp, release := gathering(t, func(r *ServerTx) Work {
		r.Respond(200, "")
		if r.Request.Via.Branch() == "z9hG4bKlast" {
			answered <- struct{}{}
			time.Sleep(silence) // until it stops
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
		if r := hear(t, c, patience); status(r) != "200" {
			t.Errorf("answered %q", r)
		}
	}
}
