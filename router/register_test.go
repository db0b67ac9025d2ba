package router

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"silod/imc"
	"silod/silo"
	"silod/sip"
	"silod/sip/transaction"
)

// registering returns a router that carries REGISTERs out, and the transaction of one that adds
// a contact of bob.
func registering(o *ordering, set silo.Settings) (*Router, *transaction.ServerTx) {
	o.Helper()
	rooms, err := imc.NewSettings(imc.DefaultConfig())
	if err != nil {
		o.Fatal(err)
	}
	opt := o.router.opt
	opt.Domains, opt.Location, opt.Engine = sip.NewDomains("example.org"), o.location, o.engine
	opt.Silo = silo.New(silo.Options{Domains: opt.Domains}, set)
	opt.Rooms = imc.New(imc.Options{Domains: opt.Domains}, rooms)
	uri := sip.URI{Scheme: "sip", User: "bob", Host: "example.org"}
	return New(opt, Settings{}), &transaction.ServerTx{Request: sip.Request{
		Message: &sip.Message{Method: "REGISTER", Headers: []sip.Header{{Name: "Contact", Value: "<sip:bob@192.0.2.1>"}}},
		To:      sip.NameAddr{URI: uri}, Target: uri,
	}}
}

// A REGISTER that panics must not leave the queue of its user busy.
func TestPanicReleasesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrdering(t)
		defer o.run()()
		r, tx := registering(o, silo.Settings{})
		reads := 0
		o.reading = func() {
			if reads++; reads == 3 { // by Refresh, Online and Update
				if !o.queue.Busy(bob) {
					t.Error("the queue is not busy while the user comes online")
				}
				panic("test")
			}
		}
		func() {
			defer func() { _ = recover() }()
			r.register(tx, parties{from: bob, to: bob, fromOurs: true, toOurs: true}, caller{})(t.Context())
		}()
		if reads != 3 {
			t.Fatalf("the location was read %d times", reads)
		}
		if !o.queue.WaitEmpty(t.Context(), bob, time.Second) {
			t.Error("the queue is still held")
		}
	})
}

// A Path is used and listed in the form of the grammar, because it becomes a Route.
func TestPathIsMended(t *testing.T) {
	c := serve(t, silo.Settings{}).client(t)
	c.accepted("REGISTER", "sip:example.org", fmt.Sprintf("Path: <sip:%v;;lr>;x/y=1;\r\nSupported: path\r\n"+
		"Contact: <sip:bob@192.0.2.1>\r\nContent-Length: 0\r\n\r\n", c.conn.LocalAddr()))
	if want := fmt.Sprintf("Path: <sip:%v;lr>\r\n", c.conn.LocalAddr()); !bytes.Contains(c.in, []byte(want)) {
		t.Errorf("the answer has no %q:\n%s", want, c.in)
	}
}
