package transaction

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"silod/sip"
)

// TestStatelessAnswerIsForgotten checks that a challenged request is not stored, so that the
// request with credentials may have the same transaction ID, as that of Pidgin.
func TestStatelessAnswerIsForgotten(t *testing.T) {
	var runs atomic.Int32
	s, udp, _ := runLayers(t, config{}, serve(func(tx *ServerTx) {
		runs.Add(1)
		if tx.Request.Has("Proxy-Authorization") {
			tx.Respond(202, "")
			return
		}
		tx.Stateless()
		tx.Respond(407, "", sip.Header{Name: "Proxy-Authenticate", Value: "Digest realm=\"r\""})
	}))
	c := dial(t, "udp", udp)
	plain := message(c, "z9hG4bKsame", extraHeaders)
	for range 2 {
		send(t, c, plain)
		if got := receive(t, c, timeout); status(got) != "407" {
			t.Fatalf("answered\n%s", got)
		}
	}
	if n, _ := s.Transactions(); n != 0 || runs.Load() != 2 {
		t.Errorf("%d transactions are stored, the handler ran %d times", n, runs.Load())
	}
	send(t, c, message(c, "z9hG4bKsame", extraHeaders, "Proxy-Authorization: Digest x"))
	if got := receive(t, c, timeout); status(got) != "202" {
		t.Errorf("answered\n%s", got)
	}
}

// TestStatelessAnswerIsTrimmed checks that an answer to an address that may be forged, and has
// used the bytes that are free, is not larger than the requests from there.
func TestStatelessAnswerIsTrimmed(t *testing.T) {
	challenge := func(alg string) sip.Header {
		return sip.Header{Name: "Proxy-Authenticate", Value: `Digest realm="example.org", nonce="` + strings.Repeat("n", 48) + `", algorithm=` + alg}
	}
	both := []sip.Header{challenge("SHA-256"), challenge("MD5"), {Name: "Server", Value: strings.Repeat("s", 100)}}
	s, udp, tcp := runLayers(t, config{}, serve(func(tx *ServerTx) {
		tx.Stateless()
		if tx.Request.Has("X-Plain") {
			tx.Respond(400, strings.Repeat("long words ", 30), sip.Header{Name: "Server", Value: "s"})
			return
		}
		tx.Respond(407, "", both...)
	}))
	pad := func(n int) string { return "X-Pad: " + strings.Repeat("x", n) }
	for _, tc := range []struct {
		name, network, more string
		challenges          int
		server, larger      bool
	}{
		{"space for all header fields", "udp", pad(600), 2, true, false},
		{"space for both challenges", "udp", pad(350), 2, false, false},
		{"space for one challenge", "udp", pad(180), 1, false, false},
		{"no space for a challenge", "udp", "X-Terse: 1", 1, false, true},
		{"connection", "tcp", "Max-Forwards: 70", 2, true, true},
		{"long reason", "udp", "X-Plain: 1\r\nMax-Forwards: 70", 0, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			to := udp
			if tc.network == "tcp" {
				to = tcp
			}
			c := dial(t, tc.network, to)
			spendCredit(s)
			m := message(c, "z9hG4bKtrim", tc.more)
			send(t, c, m)
			if tc.larger && tc.network == "udp" { // before the second request
				if got := receive(t, c, quietTime); got != "" {
					t.Errorf("%d bytes for %d:\n%s", len(got), len(m), got)
				}
				send(t, c, m)
			}
			got := receive(t, c, timeout)
			if n := strings.Count(got, "Proxy-Authenticate:"); n != tc.challenges {
				t.Errorf("%d challenges, want %d", n, tc.challenges)
			}
			if strings.Contains(got, "Server:") != tc.server || len(got) > len(m) != tc.larger {
				t.Errorf("%d bytes for %d:\n%s", len(got), len(m), got)
			}
			if tc.challenges == 1 && !strings.Contains(got, "algorithm=MD5") {
				t.Errorf("the challenge is not that for MD5:\n%s", got)
			}
		})
	}
}

// spendCredit uses the bytes that an unknown address may be sent.
func spendCredit(s *layers) {
	for s.sockets.Covers(netip.MustParseAddr("127.0.0.1"), 100, 101) {
		continue
	}
}

// TestUnprovenAnswers checks that the answer to an address that may be forged is kept, and that
// the answers to retransmissions together are not larger than these.
func TestUnprovenAnswers(t *testing.T) {
	var runs atomic.Int32
	s, udp, _ := runLayers(t, config{}, serve(func(tx *ServerTx) {
		runs.Add(1)
		tx.Unproven()
		tx.ForwardResponse(&sip.Message{Status: 200, Reason: "OK", Body: []byte(strings.Repeat("x", 300))})
	}))
	c := dial(t, "udp", udp)
	spendCredit(s)
	m := message(c, "z9hG4bKunproven")
	received, last := 0, ""
	for range 40 {
		send(t, c, m)
		if got := receive(t, c, quietTime); got != "" {
			received, last = received+len(got), got
		}
	}
	if status(last) != "200" || !strings.HasSuffix(last, "xxx") || runs.Load() != 1 {
		t.Errorf("the handler ran %d times, the last answer is\n%s", runs.Load(), last)
	}
	if sent := 40 * len(m); received > sent+500 {
		t.Errorf("%d bytes were sent for %d", received, sent)
	}
}

// TestChallengeAtOnce checks that challenges are sent at once to clients that have not used the
// bytes that are free, and to those that have answered one, whatever else comes from there.
func TestChallengeAtOnce(t *testing.T) {
	challenge := sip.Header{Name: "Proxy-Authenticate", Value: `Digest realm="example.org", nonce="` + strings.Repeat("n", 48) + `", algorithm=MD5, qop="auth"`}
	s, udp, _ := runLayers(t, config{}, serve(func(tx *ServerTx) {
		if tx.Request.Has("Proxy-Authorization") {
			tx.ProveSource()
			tx.Respond(200, "")
			return
		}
		tx.Stateless()
		tx.Respond(407, "", challenge)
	}))
	c := dial(t, "udp", udp)
	n := 0
	for ; ; n++ {
		m := message(c, "z9hG4bKa"+strings.Repeat("x", n))
		send(t, c, m)
		got := receive(t, c, quietTime)
		if got == "" {
			break
		}
		if len(got) <= len(m) || status(got) != "407" {
			t.Fatalf("%d bytes were answered\n%s", len(m), got)
		}
	}
	if n < 10 || s.sockets.Stats.HeldBack.Value() != 1 {
		t.Errorf("%d challenges to an unknown source were sent", n)
	}
	send(t, c, message(c, "z9hG4bKb", "Proxy-Authorization: Digest x"))
	if got := receive(t, c, timeout); status(got) != "200" {
		t.Fatalf("answered\n%s", got)
	}
	for i := range 100 {
		send(t, c, message(c, "z9hG4bKc"+strings.Repeat("x", i)))
		if got := receive(t, c, timeout); status(got) != "407" {
			t.Fatalf("challenge %d was not sent to a proven source: %s", i, got)
		}
	}
}

// TestAcceptSource checks that requests from a source that is not accepted are not read, and
// that responses are.
func TestAcceptSource(t *testing.T) {
	var reject atomic.Bool
	s, udp, tcp := runLayers(t, config{}, handler{handle: func(tx *ServerTx) { tx.Respond(200, "") }, acceptSource: func(sip.Flow) bool { return !reject.Load() }})
	for _, network := range []string{"udp", "tcp"} {
		to := udp
		if network == "tcp" {
			to = tcp
		}
		c := dial(t, network, to)
		reject.Store(false)
		send(t, c, message(c, "z9hG4bKfirst"))
		if got := receive(t, c, timeout); status(got) != "200" {
			t.Fatalf("%s: answered\n%s", network, got)
		}
		reject.Store(true)
		requests := s.Stats.Requests.Value()
		send(t, c, message(c, "z9hG4bKa"))
		send(t, c, message(c, "z9hG4bKb", "Call-ID: twice"))
		send(t, c, "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKstray\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n")
		if got := receive(t, c, quietTime); got != "" {
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

// TestAcceptRequest checks that requests that are not accepted, malformed ones included, are
// neither answered nor stored.
func TestAcceptRequest(t *testing.T) {
	s, udp, tcp := runLayers(t, config{}, handler{handle: func(tx *ServerTx) { tx.Respond(200, "") }, acceptRequest: func(r *sip.Request, _ sip.Flow) bool { return r.Get("User-Agent") != "bad" }})
	for _, network := range []string{"udp", "tcp"} {
		to := udp
		if network == "tcp" {
			to = tcp
		}
		c := dial(t, network, to)
		before, _ := s.Transactions()
		send(t, c, message(c, "z9hG4bKa", "User-Agent: bad"))
		send(t, c, message(c, "z9hG4bKb", "User-Agent: bad", "Call-ID: twice"))
		if got := receive(t, c, quietTime); got != "" {
			t.Errorf("%s: answered\n%s", network, got)
		}
		if n, _ := s.Transactions(); n != before {
			t.Errorf("%s: %d transactions are stored", network, n-before)
		}
		send(t, c, message(c, "z9hG4bKc", "User-Agent: good"))
		if got := receive(t, c, timeout); status(got) != "200" {
			t.Errorf("%s: answered\n%s", network, got)
		}
	}
}
