package main

import (
	"context"

	"silod/registrar"
	"silod/sip"
)

// fewOnline is the number of online users up to which the start has the engine look into the
// mailbox of each. That takes less time than to read which of ten million messages wait for
// one of them.
const fewOnline = 20_000

// wakeOnline starts the delivery to all users who are online, if they are few.
func (d *daemon) wakeOnline() {
	if n, _ := d.location.Counts(); n > fewOnline {
		return
	}
	d.location.Each(func(user sip.AoR, _ []registrar.Binding) bool {
		d.engine.Wake(user)
		return true
	})
}

// wakeWaiting starts the delivery to those of many online users who have messages. Requests are
// served meanwhile.
func (d *daemon) wakeWaiting(ctx context.Context) error {
	if n, _ := d.location.Counts(); n > fewOnline {
		_ = d.engine.WakeWaiting(ctx, d.location.Online) // the error is that of ctx
	}
	return nil
}
