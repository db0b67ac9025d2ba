package transaction

import (
	"strings"
	"sync/atomic"
	"testing"

	"silod/sip"
)

// TestStatelessAnswerIsForgotten: a client that answers a challenge in the very same
// transaction (Pidgin does) is heard, and what is challenged leaves nothing behind.
func TestStatelessAnswerIsForgotten(t *testing.T) {
	var runs atomic.Int32
	s, udp, _ := running(t, Config{}, serve(func(r *ServerTx) {
		runs.Add(1)
		if r.Request.Has("Proxy-Authorization") {
			r.Respond(202, "")
			return
		}
		r.Stateless()
		r.Respond(407, "", sip.Header{Name: "Proxy-Authenticate", Value: "Digest realm=\"r\""})
	}))
	c := dial(t, "udp", udp)
	plain := message(c, "z9hG4bKsame", usual)
	for range 2 {
		send(t, c, plain)
		if got := hear(t, c, patience); status(got) != "407" {
			t.Fatalf("answered\n%s", got)
		}
	}
	if n, _ := s.Transactions(); n != 0 || runs.Load() != 2 {
		t.Errorf("%d transactions are remembered, the handler ran %d times", n, runs.Load())
	}
	send(t, c, message(c, "z9hG4bKsame", usual, "Proxy-Authorization: Digest x"))
	if got := hear(t, c, patience); status(got) != "202" {
		t.Errorf("answered\n%s", got)
	}
}

// TestStatelessAnswerIsTrimmed: a request from an address that may be forged brings no
// more bytes to that address than it has itself.
func TestStatelessAnswerIsTrimmed(t *testing.T) {
	challenge := func(alg string) sip.Header {
		return sip.Header{Name: "Proxy-Authenticate", Value: `Digest realm="example.org", nonce="` + strings.Repeat("n", 48) + `", algorithm=` + alg}
	}
	both := []sip.Header{challenge("SHA-256"), challenge("MD5"), {Name: "Server", Value: strings.Repeat("s", 100)}}
	_, udp, tcp := running(t, Config{}, serve(func(r *ServerTx) {
		r.Stateless()
		if r.Request.Has("X-Plain") {
			r.Respond(400, strings.Repeat("long words ", 30), sip.Header{Name: "Server", Value: "s"})
			return
		}
		r.Respond(407, "", both...)
	}))
	pad := func(n int) string { return "X-Pad: " + strings.Repeat("x", n) }
	for _, tc := range []struct {
		name, network, more string
		challenges          int
		server, larger      bool
	}{
		{"room for all", "udp", pad(600), 2, true, false},
		{"room for the challenges", "udp", pad(350), 2, false, false},
		{"room for one", "udp", pad(180), 1, false, false},
		{"room for none, and one is needed", "udp", "X-Terse: 1", 1, false, true},
		{"no need over a connection", "tcp", "Max-Forwards: 70", 2, true, true},
		{"words", "udp", "X-Plain: 1\r\nMax-Forwards: 70", 0, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			to := udp
			if tc.network == "tcp" {
				to = tcp
			}
			c := dial(t, tc.network, to)
			m := message(c, "z9hG4bKtrim", tc.more)
			send(t, c, m)
			if tc.larger && tc.network == "udp" { // not before as much has come from there
				if got := hear(t, c, silence); got != "" {
					t.Errorf("%d bytes for %d:\n%s", len(got), len(m), got)
				}
				send(t, c, m)
			}
			got := hear(t, c, patience)
			if n := strings.Count(got, "Proxy-Authenticate:"); n != tc.challenges {
				t.Errorf("%d challenges, want %d", n, tc.challenges)
			}
			if strings.Contains(got, "Server:") != tc.server || len(got) > len(m) != tc.larger {
				t.Errorf("%d bytes for %d:\n%s", len(got), len(m), got)
			}
			if tc.challenges == 1 && !strings.Contains(got, "algorithm=MD5") {
				t.Errorf("not the oldest algorithm:\n%s", got)
			}
		})
	}
}

// TestCredits: no source is sent more than came from it, and who goes on asking is
// answered.
// TestHear: what a peer that is not heard asks is not even read, but it may answer.
func TestHear(t *testing.T) {
	var deaf atomic.Bool
	s, udp, tcp := running(t, Config{}, handler{handle: func(r *ServerTx) { r.Respond(200, "") }, hear: func(sip.Flow) bool { return !deaf.Load() }})
	for _, network := range []string{"udp", "tcp"} {
		to := udp
		if network == "tcp" {
			to = tcp
		}
		c := dial(t, network, to)
		deaf.Store(false)
		send(t, c, message(c, "z9hG4bKfirst"))
		if got := hear(t, c, patience); status(got) != "200" {
			t.Fatalf("%s: answered\n%s", network, got)
		}
		deaf.Store(true)
		requests := s.Stats.Requests.Value()
		send(t, c, message(c, "z9hG4bKa"))
		send(t, c, message(c, "z9hG4bKb", "Call-ID: twice"))
		send(t, c, "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKstray\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n")
		if got := hear(t, c, silence); got != "" {
			t.Errorf("%s: answered\n%s", network, got)
		}
		if n := s.Stats.Requests.Value() - requests + s.Stats.Malformed.Value(); n != 0 {
			t.Errorf("%s: %d requests were read", network, n)
		}
	}
	if n := s.Stats.Responses.Value(); n != 2 {
		t.Errorf("%d responses were read, want 2", n)
	}
}

// TestScreen drops requests, malformed ones too, before anything is kept of them.
func TestScreen(t *testing.T) {
	s, udp, tcp := running(t, Config{}, handler{handle: func(r *ServerTx) { r.Respond(200, "") }, screen: func(r *sip.Request, _ sip.Flow) bool { return r.Get("User-Agent") != "bad" }})
	for _, network := range []string{"udp", "tcp"} {
		to := udp
		if network == "tcp" {
			to = tcp
		}
		c := dial(t, network, to)
		before, _ := s.Transactions()
		send(t, c, message(c, "z9hG4bKa", "User-Agent: bad"))
		send(t, c, message(c, "z9hG4bKb", "User-Agent: bad", "Call-ID: twice"))
		if got := hear(t, c, silence); got != "" {
			t.Errorf("%s: answered\n%s", network, got)
		}
		if n, _ := s.Transactions(); n != before {
			t.Errorf("%s: %d transactions are remembered", network, n-before)
		}
		send(t, c, message(c, "z9hG4bKc", "User-Agent: good"))
		if got := hear(t, c, patience); status(got) != "200" {
			t.Errorf("%s: answered\n%s", network, got)
		}
	}
}
