package transaction

import (
	"net/netip"
	"testing"

	"silod/sip"
	"silod/sip/transport"
)

// BenchmarkRequest measures the processing of a request from the socket to the handler, and
// of its answer from the handler to the socket.
func BenchmarkRequest(b *testing.B) {
	raw := request(
		"MESSAGE sip:bob@example.org SIP/2.0",
		"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK.MobyGbga6;rport",
		"From: <sip:alice@sip.test>;tag=0HnaWwSzF", "To: <sip:bob@sip.test>", "CSeq: 20 MESSAGE", "Call-ID: LDP4gDqEnb",
		"Max-Forwards: 70", "Supported: replaces, outbound, gruu", "Date: Sat, 21 Nov 2026 22:31:07 GMT",
		"Content-Type: text/plain", "Content-Length: 21", "User-Agent: Linphonec/5.1.65", "", "offline one ma4a7b800")
	flow := sip.Flow{Transport: sip.UDP, Local: netip.MustParseAddrPort("127.0.0.1:5060"), Remote: netip.MustParseAddrPort("127.0.0.1:5070")}
	l := newLayers(config{}, echo)
	received := func() *ServerTx {
		m, err := sip.Parse(raw, false)
		if err != nil {
			b.Fatal(err)
		}
		tx, err := newServerTx(m, transport.Origin{Flow: flow})
		if err != nil {
			b.Fatal(err)
		}
		tx.layer = l.Layer
		return tx
	}
	b.Run("receive", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			received()
		}
	})
	b.Run("remember", func(b *testing.B) {
		tx := received()
		a := &answer{status: 202, reason: "Accepted"}
		b.ReportAllocs()
		for b.Loop() {
			l.server.begin(tx)
			l.server.finish(tx, a)
			shard := l.server.shard(&tx.id)
			delete(shard.outcomes, tx.id.key)
			clear(shard.ring[:])
		}
	})
	b.Run("answer", func(b *testing.B) {
		tx := received()
		a := &answer{status: 202, reason: "Accepted"}
		var out []byte
		b.ReportAllocs()
		for b.Loop() {
			out = a.appendTo(out[:0], tx)
		}
	})
}
