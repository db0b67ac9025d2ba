package proxy

import (
	"context"
	"errors"
	"slices"
	"time"

	"silod/im"
	"silod/sip"
	"silod/sip/transaction"
)

// ForkOptions say how a message is sent.
type ForkOptions struct {
	Recipient   sip.AoR // the owner of the devices; part of the loop mark
	MaxForwards int
	StopAt6xx   bool // Wait returns when a device answers 6xx (RFC 3261 section 16.7, step 5)
}

// A Fork is one MESSAGE on its way to several devices (RFC 3261 section 16.6). Its methods
// must not be called concurrently.
type Fork struct {
	proxy    *Proxy
	msg      *im.Message
	opt      ForkOptions
	results  chan transaction.Result // never full: a device has one transaction at a time
	attempts []attempt
	out      Outcome

	first [1]attempt // the memory of attempts, if there is one: most users have one device
}

// An Outcome is the state of a Fork.
type Outcome struct {
	Response   *sip.Message // the first 2xx, else the best failure response so far (RFC 3261 section 16.7); or nil
	Failures   []int        // statuses of failure responses, except on routes that were followed by another one
	Refused    []Refusal    // the devices of Failures that will never accept the message
	Open       int          // devices that may still respond
	Unreached  int          // devices to which nothing could be sent, or that did not respond
	Rerouted   int          // routes that failed and were followed by another route of their device
	Answered   bool         // a device has sent some response
	Unresolved error        // why an address elsewhere could not be resolved; or nil
}

// Accepted reports whether a device has accepted the message.
func (o *Outcome) Accepted() bool { return o.Response != nil && o.Response.Status < 300 }

// Fork sends a message to devices.
func (p *Proxy) Fork(ctx context.Context, m *im.Message, devices []Device, opt ForkOptions) *Fork {
	k := &Fork{proxy: p, msg: m, opt: opt, results: make(chan transaction.Result, len(devices))}
	k.attempts = k.first[:0]
	if len(devices) > len(k.first) {
		k.attempts = make([]attempt, 0, len(devices))
	}
	for i := range devices {
		k.attempts = append(k.attempts, attempt{device: devices[i].Name, rest: devices[i].Routes})
		k.startNext(ctx, &k.attempts[i])
	}
	return k
}

// Wait waits until a device has accepted the message or no device can accept it any more,
// and with StopAt6xx until a device answers 6xx. It returns earlier, with Open above 0,
// when patience has passed, unless that is 0, or when ctx ends. It can be called again.
func (k *Fork) Wait(ctx context.Context, patience time.Duration) Outcome {
	var timeout <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		timeout = timer.C
	}
	for k.out.Open > 0 {
		select {
		case res := <-k.results:
			if k.handleResult(ctx, res) {
				return k.out
			}
		case <-timeout:
			return k.out
		case <-ctx.Done():
			return k.out
		}
	}
	return k.out
}

// Abandon ends the open attempts. Responses that come later are ignored.
func (k *Fork) Abandon() {
	for i := range k.attempts {
		if tx := k.attempts[i].tx; tx != nil {
			tx.Abandon()
		}
	}
}

// startNext sends the message over the next flow of a device that can be used. For a route
// without a flow, which few devices have, it waits for DNS and for a connection.
func (k *Fork) startNext(ctx context.Context, a *attempt) {
	for {
		flow, err := k.proxy.nextFlow(ctx, a)
		if errors.Is(err, errNoRoute) {
			k.out.Unreached++
			return
		}
		if err == nil {
			err = k.send(ctx, a, flow)
		}
		if err == nil {
			k.out.Open++
			return
		}
		var unresolved *unresolvedError
		if a.route.Binding == "" && errors.As(err, &unresolved) {
			k.out.Unresolved = err
		}
		k.proxy.log.Debug("device not reached", "contact", a.route.URI, "error", err)
	}
}

// send sends the message over a flow of the attempt's route, in a transaction that becomes
// the attempt's.
func (k *Fork) send(ctx context.Context, a *attempt, flow sip.Flow) error {
	var few [24]sip.Header // enough for nearly every message
	out := messageTo(k.msg, a.route, k.opt.MaxForwards, few[:0])
	flow, err := k.proxy.flowFor(ctx, flow, out.Size())
	if err != nil {
		return err
	}
	tx, err := k.proxy.transactions.Send(&out, k.opt.Recipient, flow, k.results)
	if err != nil {
		return err
	}
	a.tx = tx
	if k.proxy.watch.Active() {
		k.publishSent(a.route.URI)
	}
	return nil
}

// handleResult counts a result, and tries the next route of a device if one has failed.
// It reports whether the result ends Wait.
func (k *Fork) handleResult(ctx context.Context, res transaction.Result) (ends bool) {
	i := slices.IndexFunc(k.attempts, func(a attempt) bool { return a.tx == res.Tx })
	a := &k.attempts[i]
	k.out.Open--
	k.out.Answered = k.out.Answered || res.Err == nil
	if k.proxy.watch.Active() {
		k.publishAnswered(a.route.URI, res)
	}
	switch {
	case res.Err == nil && res.Response.Status < 300:
		k.out.Response = res.Response
		return true
	case flowFailed(res) && a.hasNext():
		k.out.Rerouted++
		k.startNext(ctx, a)
		return false
	case res.Err != nil:
		k.out.Unreached++
		return false
	}
	k.out.Failures = append(k.out.Failures, res.Response.Status)
	if refuses(a.device, res.Response.Status) {
		k.out.Refused = append(k.out.Refused, Refusal{a.device, res.Response.Status, res.Response.Reason})
	}
	if preferred(res.Response, k.out.Response) {
		k.out.Response = res.Response
	}
	return k.opt.StopAt6xx && res.Response.Status >= 600
}

// flowFailed reports whether a flow can no longer be used (RFC 5626 section 5.3).
func flowFailed(res transaction.Result) bool {
	return res.Err != nil || res.Response.Status == 430 || res.Response.Status == 408
}

// preferred reports whether a is a better final response than b, which may be nil: a 6xx,
// else one of a lower class (RFC 3261 section 16.7, step 6).
func preferred(a, b *sip.Message) bool {
	switch {
	case b == nil:
		return true
	case b.Status >= 600:
		return false
	case a.Status >= 600:
		return true
	}
	return a.Status/100 < b.Status/100
}
