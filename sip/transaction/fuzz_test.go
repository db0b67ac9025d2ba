package transaction

import (
	"runtime"
	"testing"

	"silod/sip/internal/siptest"

	"silod/sip"
	"silod/sip/transport"
)

// FuzzReceive passes any bytes to Receive, as a datagram or from a stream. It checks that an
// answer can be parsed and matches its request, and that no transaction is stored after
// Timer J.
func FuzzReceive(f *testing.F) {
	for _, raw := range siptest.Torture(f, "../..") {
		f.Add(raw, false)
		f.Add(raw, true)
	}
	s := newLayers(config{}, serve(func(tx *ServerTx) {
		_, ok := tx.Request.MaxForwards()
		if !ok || tx.Looped(sip.AoR{User: "b", Domain: "b"}, true) || tx.Redirected() || tx.Request.Via.BehindNAT(tx.Flow.Remote) || len(tx.Request.OptionTags("Require")) > 0 {
			tx.Unavailable("")
		}
		tx.Respond(200, "")
	}))
	f.Fuzz(func(t *testing.T, raw []byte, stream bool) {
		flow := peer
		if stream {
			flow = sip.Flow{Transport: sip.TCP, Local: peer.Local, Remote: peer.Remote, Conn: 7}
		}
		// Answers are not sent, because there is no socket.
		if job, _ := s.Receive(raw, transport.Origin{Flow: flow}); job != nil {
			job.Run()
		}
		for s.Handlers() > 0 {
			runtime.Gosched()
		}
		for range ringSize {
			s.server.tick()
		}
		if n := s.server.len(); n != 0 {
			t.Fatalf("%d transactions are stored", n)
		}
		m, err := sip.Parse(raw, stream)
		if m == nil || m.Status != 0 {
			return
		}
		tx, rerr := newServerTx(m, transport.Origin{Flow: flow})
		if tx == nil {
			return
		}
		if rerr != nil {
			err = rerr
		}
		checkAnswer(t, tx, err)
	})
}

// checkAnswer parses an answer to a request. invalid is the error of parsing the request.
func checkAnswer(t *testing.T, tx *ServerTx, invalid error) {
	t.Helper()
	out := (&answer{status: 200, reason: "OK", headers: []sip.Header{{Name: "Server", Value: "s"}}}).appendTo(nil, tx)
	res, err := sip.Parse(out, true)
	if err != nil || res.Status != 200 {
		t.Fatalf("answered %q: %v", out, err)
	}
	if got, want := len(res.Values("Via")), len(tx.Request.Values("Via")); got != want {
		t.Fatalf("%d Via values became %d: %q", want, got, out)
	}
	via, err := sip.ParseVia(res.Get("Via"))
	if err != nil || via.Branch() != tx.Request.Via.Branch() || via.Host != tx.Request.Via.Host || via.Port != tx.Request.Via.Port {
		t.Fatalf("%q is answered with %q: %v", tx.Request.Get("Via"), res.Get("Via"), err)
	}
	if invalid != nil {
		return
	}
	for _, name := range []string{"From", "Call-ID", "CSeq"} {
		if res.Get(name) != tx.Request.Get(name) {
			t.Fatalf("%s %q became %q", name, tx.Request.Get(name), res.Get(name))
		}
	}
}
