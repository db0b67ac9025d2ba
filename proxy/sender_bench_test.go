package proxy

import (
	"bytes"
	"testing"

	"silod/delivery"
	"silod/im"
	"silod/registrar"
	"silod/sip"
)

// BenchmarkSend measures the delivery of a queued message to a phone, including the phone's
// part.
func BenchmarkSend(b *testing.B) {
	sockets, st, stop := running(b)
	phone := answering(b, "200 OK")
	flow := sip.Flow{Transport: sip.UDP, Local: sockets.Endpoints()[0].Addr, Remote: phone}
	domains := sip.NewDomains("example.org")
	loc := registrar.New(registrar.Options{}, registrar.Settings{})
	bob := user("bob")
	contact, err := sip.ParseNameAddr("<sip:bob@" + phone.String() + ">")
	if err == nil {
		_, err = loc.Update(b.Context(), &registrar.Register{
			AoR: bob, Contacts: []sip.NameAddr{contact}, Expires: 3600, CallID: "1", CSeq: 1, Methods: "INVITE, ACK, CANCEL, BYE, OPTIONS, MESSAGE",
			Flow: func(sip.URI) (sip.Flow, *registrar.Error) { return flow, nil },
		})
	}
	if err != nil {
		b.Fatal(err)
	}
	s := New(Options{Transport: sockets, Transactions: st, Location: loc, Domains: domains}, Settings{}).Sender(SenderSettings{})
	it := delivery.Item{Key: 1, Message: im.Message{
		From: "<sip:chat-1@example.org>;tag=0a1b2c3d4e5f", To: "<sip:bob@example.org>",
		CallID: "0123456789abcdef0123456789abcdef@example.org", CSeq: 4711,
		Headers: []sip.Header{
			{Name: "Content-Type", Value: "text/plain"},
			{Name: "In-Reply-To", Value: "0123456789abcdef"},
			{Name: "Date", Value: "Sun, 22 Nov 2026 02:48:18 GMT"},
		},
		Body: bytes.Repeat([]byte{'x'}, 110),
	}}
	b.ReportAllocs()
	for b.Loop() {
		if out := s.Send(b.Context(), bob, &it).Wait(b.Context()); out.Verdict != delivery.Delivered {
			b.Fatal(out)
		}
	}
	stop()
}
