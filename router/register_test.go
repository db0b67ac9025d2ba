package router

import (
	"testing"
	"testing/synctest"
	"time"

	"silod/imc"
	"silod/silo"
	"silod/sip"
	"silod/sip/transaction"
)

// A REGISTER that panics must not leave the queue of its user busy.
func TestPanicReleasesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrdering(t)
		defer o.run()()
		domains := sip.NewDomains("example.org")
		rooms, err := imc.NewSettings(imc.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		opt := &o.router.opt
		opt.Domains, opt.Location, opt.Silo = domains, o.location, silo.New(silo.Options{Domains: domains}, silo.Settings{})
		opt.Rooms = imc.New(imc.Options{Domains: domains}, rooms)
		reads := 0
		o.reading = func() {
			if reads++; reads == 2 {
				if !o.queue.Busy(bob) {
					t.Error("the queue is not busy while the user comes online")
				}
				panic("test")
			}
		}
		uri := sip.URI{Scheme: "sip", User: "bob", Host: "example.org"}
		tx := &transaction.ServerTx{Request: sip.Request{
			Message: &sip.Message{Method: "REGISTER", Headers: []sip.Header{{Name: "Contact", Value: "<sip:bob@192.0.2.1>"}}},
			To:      sip.NameAddr{URI: uri}, Target: uri,
		}}
		func() {
			defer func() { _ = recover() }()
			o.router.register(tx, parties{from: bob, to: bob, fromOurs: true, toOurs: true}, caller{})
		}()
		if reads != 2 {
			t.Fatalf("the location was read %d times", reads)
		}
		if !o.queue.WaitEmpty(t.Context(), bob, time.Second) {
			t.Error("the queue is still held")
		}
	})
}
