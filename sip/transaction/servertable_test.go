package transaction

import (
	"sync"
	"testing"

	"silod/sip/transport"
)

// TestUnavailableDuringRetransmissions checks that a retransmission is never answered 482 and
// stored, however close it comes to an answer that is not kept.
func TestUnavailableDuringRetransmissions(t *testing.T) {
	s := newStack(Config{}, serve(func(tx *ServerTx) { tx.Unavailable("") }))
	raw := request("MESSAGE sip:bob@127.0.0.1 SIP/2.0", "Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK1", "From: <sip:alice@127.0.0.1>;tag=1",
		"To: <sip:bob@127.0.0.1>", "Call-ID: 1", "CSeq: 1 MESSAGE", "Content-Length: 0", "", "")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5000 {
				if job, _ := s.Receive(raw, transport.Origin{Flow: peer}); job != nil {
					job.Run()
				}
			}
		})
	}
	wg.Wait()
	if n := s.server.len(); n != 0 {
		t.Errorf("%d transactions are stored", n)
	}
}
