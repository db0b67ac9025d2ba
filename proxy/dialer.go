package proxy

import (
	"context"

	"silod/sip"
	"silod/sip/transport"
)

// A dialer does the work of a Fork that may take time: it resolves names and opens
// connections, each on a goroutine of its own. Their number is limited by maxBreadth and
// maxFollowed, and their time by resolveTimeout and targetTimeout.
type dialer struct {
	ctx     context.Context
	stop    context.CancelFunc
	results chan dialed
}

// A dialed is the result of dialling.
type dialed struct {
	attempt int
	dials   int32 // see attempt.dials
	route   *Route
	rest    []Route
	targets []transport.Target
	flow    sip.Flow
	sized   bool // the flow can carry the message
	err     error
}

// dial has a goroutine find the next flow of an attempt; handleDialed continues the attempt.
// find may change only the copy of the attempt that it gets.
func (k *Fork) dial(i int, find func(context.Context, *attempt) (sip.Flow, error), sized bool) {
	if k.dialer == nil {
		k.dialer = &dialer{results: make(chan dialed)}
		k.dialer.ctx, k.dialer.stop = context.WithCancel(k.ctx)
	}
	a := &k.attempts[i]
	a.state, a.tx, a.widened = stateDialing, nil, sized
	a.dials++
	d, own := k.dialer, *a
	go func() {
		flow, err := find(d.ctx, &own)
		select {
		case d.results <- dialed{i, own.dials, own.route, own.rest, own.targets, flow, sized, err}:
		case <-d.ctx.Done():
		}
	}()
}

// dialed returns the channel of the results of dial.
func (k *Fork) dialed() <-chan dialed {
	if k.dialer == nil {
		return nil
	}
	return k.dialer.results
}

// handleDialed continues an attempt for which dial has found a flow, or none.
func (k *Fork) handleDialed(d dialed) {
	a := &k.attempts[d.attempt]
	if a.state != stateDialing || a.dials != d.dials {
		return // the binding was replaced meanwhile
	}
	a.route, a.rest, a.targets = d.route, d.rest, d.targets
	if d.err == nil {
		d.err = k.send(d.attempt, d.flow, d.sized)
	}
	if d.err != nil {
		k.note(a, d.err)
		k.startNext(d.attempt)
	}
}
