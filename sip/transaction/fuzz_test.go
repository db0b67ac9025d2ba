package transaction

import (
	"runtime"
	"testing"

	"silod/sip"
	"silod/sip/transport"
)

// FuzzReceive: whatever comes in a datagram or on a stream, a request that gets an
// answer gets one that can be read and is its own; and nothing of it is left when
// Timer J is over.
func FuzzReceive(f *testing.F) {
	for _, raw := range torture(f) {
		f.Add(raw, false)
		f.Add(raw, true)
	}
	s := newStack(Config{}, serve(func(r *ServerTx) {
		_, ok := r.Request.MaxForwards()
		if !ok || r.Looped(sip.AoR{User: "b", Domain: "b"}) || r.Request.Direct(r.Flow.Remote) || len(r.Request.OptionTags("Require")) > 0 {
			r.Unavailable("")
		}
		r.Respond(200, "")
	}))
	f.Fuzz(func(t *testing.T, raw []byte, stream bool) {
		flow := peer
		if stream {
			flow = sip.Flow{Transport: sip.TCP, Local: peer.Local, Remote: peer.Remote, Conn: 7}
		}
		// There is no socket by which an answer could leave.
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
			t.Fatalf("%d transactions are left", n)
		}
		m, err := sip.Parse(raw, stream)
		if m == nil || m.Status != 0 {
			return
		}
		r, rerr := newServerTx(m, transport.Origin{Flow: flow})
		if r == nil {
			return
		}
		if rerr != nil {
			err = rerr
		}
		checkAnswer(t, r, err)
	})
}

// checkAnswer reads the answer to a request back; bad says that the request is.
func checkAnswer(t *testing.T, r *ServerTx, bad error) {
	t.Helper()
	out := (&answer{status: 200, reason: "OK", headers: []sip.Header{{Name: "Server", Value: "s"}}}).appendTo(nil, r)
	res, err := sip.Parse(out, true)
	if err != nil || res.Status != 200 {
		t.Fatalf("answered %q: %v", out, err)
	}
	if got, want := len(res.Values("Via")), len(r.Request.Values("Via")); got != want {
		t.Fatalf("%d Via values became %d: %q", want, got, out)
	}
	via, err := sip.ParseVia(res.Get("Via"))
	if err != nil || via.Branch() != r.Request.Via.Branch() || via.Host != r.Request.Via.Host || via.Port != r.Request.Via.Port {
		t.Fatalf("%q is answered with %q: %v", r.Request.Get("Via"), res.Get("Via"), err)
	}
	if bad != nil {
		return
	}
	for _, name := range []string{"From", "Call-ID", "CSeq"} {
		if res.Get(name) != r.Request.Get(name) {
			t.Fatalf("%s %q became %q", name, r.Request.Get(name), res.Get(name))
		}
	}
}
