package router

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"silod/delivery"
	"silod/proxy"
	"silod/registrar"
	"silod/silo"
	"silod/sip"
)

// emptySource is a source without items.
type emptySource struct{}

func (emptySource) Next(context.Context, sip.AoR, int64, int) ([]delivery.Item, error) {
	return nil, nil
}
func (emptySource) Settle(sip.AoR, *delivery.Item, delivery.Outcome, func(error)) {}
func (emptySource) Waiting(context.Context, func(sip.AoR)) error                  { return nil }

// ordering has the parts of a Router that decide whether a message may overtake others.
type ordering struct {
	*testing.T
	router   *Router
	queue    *delivery.Queue
	engine   *delivery.Engine
	location *registrar.Location
	reading  func() // called when the location is read or changed
	cseq     uint32
}

func newOrdering(t *testing.T) *ordering {
	o := &ordering{T: t, reading: func() {}}
	o.location = registrar.New(registrar.Options{Now: func() time.Time { o.reading(); return time.Now() }}, registrar.Settings{})
	o.engine = delivery.New(delivery.Options{})
	o.queue = o.engine.Queue()
	px := proxy.New(proxy.Options{Location: o.location, Domains: sip.NewDomains("example.org")}, proxy.Settings{})
	o.queue.Serve(emptySource{}, px.Sender(proxy.SenderSettings{}))
	o.router = New(Options{Proxy: px, Queue: o.queue}, Settings{})
	return o
}

// run starts the engine and returns a function that stops it.
func (o *ordering) run() (stop func()) {
	ctx, cancel := context.WithCancel(o.Context())
	ended := make(chan error)
	go func() { ended <- o.engine.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			o.Error(err)
		}
	}
}

// register adds a contact of bob.
func (o *ordering) register(contact string) {
	o.Helper()
	uri, err := sip.ParseURI(contact)
	if err == nil {
		o.cseq++
		_, err = o.location.Update(o.Context(), &registrar.Register{
			AoR: bob, Contacts: []sip.NameAddr{{URI: uri}}, Expires: 600, CallID: "1", CSeq: o.cseq,
			Flow: func(sip.URI) (sip.Flow, *registrar.Error) { return sip.Flow{Transport: sip.UDP}, nil },
		})
	}
	if err != nil {
		o.Fatal(err)
	}
}

func toBob() *incoming {
	return &incoming{parties: parties{from: alice, to: bob, toOurs: true}, facts: valid, class: silo.Class{Keep: true}}
}

// A message must not overtake those that wait for a user who registers at that moment. A
// REGISTER makes the queue busy before it makes the device visible, so a decision that
// sees the device must see the busy queue: it reads the devices first.
func TestDevicesAreReadBeforeTheQueue(t *testing.T) {
	o := newOrdering(t)
	reads := 0
	o.reading = func() {
		if reads++; reads > 1 {
			return // by the REGISTER
		}
		o.queue.Hold(bob) // as register does
		o.register("sip:bob@192.0.2.1")
	}
	d, ds := o.router.decideNow(toBob())
	if reads < 2 || len(ds) != 1 || d.action != waitForQueue {
		t.Errorf("a user who registers meanwhile: %+v with %d devices", d, len(ds))
	}
}

// After a wait the devices and the queue are both read again, in the same order.
func TestBothAreReadAgainAfterAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrdering(t)
		defer o.run()()

		release := o.queue.Hold(bob)
		o.register("sip:bob@192.0.2.1")
		if d, ds := o.router.decideNow(toBob()); d.action != waitForQueue || len(ds) != 1 {
			t.Fatalf("while the queue is held: %+v with %d devices", d, len(ds))
		}
		time.AfterFunc(queuePatience/2, func() {
			o.register("sip:bob@192.0.2.2")
			release()
		})
		if d, ds := o.router.decideLater(t.Context(), toBob()); d.action != relay || len(ds) != 2 {
			t.Errorf("after the queue was delivered: %+v with %d devices", d, len(ds))
		}

		o.queue.Hold(bob) // and it is not released
		if d, ds := o.router.decideLater(t.Context(), toBob()); d != (decision{action: store}) || len(ds) != 0 {
			t.Errorf("after waiting in vain: %+v with %d devices", d, len(ds))
		}
	})
}

// The user registers again after the wait, before the devices are read.
func TestQueueIsReadAgainAfterAWait(t *testing.T) {
	o := newOrdering(t)
	reads := 0
	o.reading = func() {
		if reads++; reads == 1 {
			o.queue.Hold(bob)
			o.register("sip:bob@192.0.2.1")
		}
	}
	if d, ds := o.router.decideLater(t.Context(), toBob()); reads < 2 || d != (decision{action: store}) || len(ds) != 0 {
		t.Errorf("%+v with %d devices", d, len(ds))
	}
}
