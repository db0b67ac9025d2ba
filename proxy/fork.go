package proxy

import (
	"context"
	"errors"
	"slices"
	"time"

	"silod/delivery"
	"silod/im"
	"silod/sip"
	"silod/sip/transaction"
	"silod/sip/transport"
)

// ForkOptions say how a message is sent.
type ForkOptions struct {
	Recipient   sip.AoR // the owner of the devices; the message carries its loop mark
	MaxForwards int
	Breadth     int  // Max-Breadth (RFC 5393), shared by the devices, and the number tried at the same time; 0: maxBreadth
	FromRoom    bool // it is the text of a room, which no other room accepts
	Secure      bool // only over TLS: the request was made for a sips URI (RFC 3261 section 26.2.2)

	// StopAt6xx says that a 6xx is the answer of the user (RFC 3261 section 16.7, step 5):
	// Wait returns, and no other device is tried. See WaitLate.
	StopAt6xx bool

	probe bool // sends OPTIONS, and Wait returns at any response

	// Directory, if not nil, is asked for the devices again when the bindings of the
	// recipient change: the Fork follows them. Seen is the value of Proxy.Changes before the
	// devices were read.
	Directory Directory
	Seen      uint64

	// Item, if not nil, is the queued message that is sent. When it has been withdrawn, Fork and
	// the change of a binding find no devices: see Proxy.Registered.
	Item *delivery.Item
}

// A Directory knows the devices that receive the messages for a user. *Proxy and *Sender are
// Directories.
type Directory interface {
	Devices(sip.AoR) []Device
}

// A Fork is one MESSAGE on its way to several devices (RFC 3261 section 16.6). Its methods
// must not be called concurrently. Abandon must be called at its end.
//
// A device has an attempt, and an attempt one transmission at a time that counts. Those before
// it are superseded: they are not retransmitted, but a 2xx to one of them still counts.
type Fork struct {
	proxy    *Proxy
	ctx      context.Context // of connecting
	msg      *im.Message
	opt      ForkOptions
	attempts []attempt
	sent     []transmission // without a final response
	mark     string         // see transaction.LoopMark
	out      Outcome
	running  int // attempts that are connecting, or that wait for the response to a transmission

	// The channels of transactions are never full: a transaction has a slot in one of them.
	// results has a slot for each device at the start, and one for a notice. spare is made
	// when that is not enough.
	results, spare        chan transaction.Result
	slotsUsed, sparesUsed int

	dialer    *dialer     // nil: nothing was dialled yet
	admission *admission  // nil: there are few devices
	timer     *time.Timer // for attempt.due; nil: not needed yet
	links     forkLinks

	followed int // changes of bindings that had it try something new: see maxFollowed

	firstAttempt [1]attempt      // the memory of attempts, if there is one: most users have one device
	firstSent    [1]transmission // the same for sent
}

// noticed is the result that stands for a notice.
var noticed = transaction.Result{}

// An Outcome is the state of a Fork.
type Outcome struct {
	Response   *sip.Message // the first 2xx, else the best failure response so far (RFC 3261 section 16.7); or nil
	Failures   []int        // statuses of failure responses, except on routes that were followed by another one
	Refused    []Refusal    // the devices of Failures that will never accept the message
	Open       int          // devices that may still respond
	Unreached  int          // devices to which nothing could be sent, or that did not respond
	Rerouted   int          // routes that failed and were followed by another route of their device
	Unresolved error        // why an address elsewhere could not be resolved; or nil
	Insecure   bool         // a route was not used because it is not over TLS
	Answered   bool         // a device has sent some response
}

// Accepted reports whether a device has accepted the message.
func (o *Outcome) Accepted() bool { return o.Response != nil && o.Response.Status < 300 }

// Changes returns a number that changes with the bindings of a user: see ForkOptions.
func (p *Proxy) Changes(a sip.AoR) uint64 { return p.forks.changes(a) }

// UnderWay reports whether a message is being sent to a user, so that a copy of it that is
// received is a loop or has come by another path (RFC 3261 section 8.2.2.2). A message that has
// lost its Vias and its Loop-Mark is recognised by this.
func (p *Proxy) UnderWay(a sip.AoR, m *im.Message) bool { return p.forks.underWay(a, m) }

// Registered has the Forks to a user follow a change of its bindings: they end attempts over
// bindings that are gone, and try new ones. It must be called after the change, and does not
// wait.
func (p *Proxy) Registered(a sip.AoR) { p.forks.changed(a) }

// Fork sends a message to devices. It does not wait: where a name must be resolved or a
// connection opened, another goroutine does that. ctx ends these.
func (p *Proxy) Fork(ctx context.Context, m *im.Message, devices []Device, opt ForkOptions) *Fork {
	if opt.Breadth <= 0 || opt.Breadth > maxBreadth {
		opt.Breadth = maxBreadth
	}
	k := &Fork{proxy: p, ctx: ctx, msg: m, opt: opt}
	k.results = make(chan transaction.Result, min(len(devices), opt.Breadth)+1)
	begun := false
	defer func() {
		if !begun { // a panic
			k.Abandon()
		}
	}()
	if opt.Directory != nil && p.forks.add(k) != opt.Seen {
		if devices = k.devices(); len(devices) == 0 {
			k.out.Unreached = 1 // the device that has just gone
		}
	}
	k.attempts, k.sent = k.firstAttempt[:0], k.firstSent[:0]
	if n := min(len(devices), opt.Breadth); n > 1 {
		k.attempts, k.sent = make([]attempt, 0, len(devices)), make([]transmission, 0, n)
	}
	k.mark = transaction.LoopMark(opt.Recipient, p.domains.Has(opt.Recipient.Domain))
	for i := range devices {
		k.attempts = append(k.attempts, newAttempt(&devices[i]))
	}
	k.out.Open = len(devices)
	for i := range k.attempts {
		k.begin(i)
	}
	begun = true
	return k
}

// devices asks the Directory for the devices of the recipient. A message that was withdrawn has
// none.
func (k *Fork) devices() []Device {
	if k.opt.Item != nil && k.opt.Item.Withdrawn() {
		return nil
	}
	ds := k.opt.Directory.Devices(k.opt.Recipient)
	if k.opt.Secure {
		return OverTLS(ds)
	}
	return ds
}

// Wait waits until a device has accepted the message or no device can accept it any more,
// and with StopAt6xx until a device answers 6xx. After a 2xx it waits a short time for devices
// to which the message has not been sent yet, so that these get it too, in order. It returns
// earlier, with Open above 0, when patience has passed, unless that is 0, or when ctx ends. It
// can be called again.
func (k *Fork) Wait(ctx context.Context, patience time.Duration) Outcome {
	var timeout <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		timeout = timer.C
	}
	ends := false
	var lingered <-chan time.Time
	for k.beginQueued(); k.out.Open > 0; k.beginQueued() {
		select {
		case res := <-k.results:
			ends = k.handleResult(res) || ends
		case res := <-k.spare:
			ends = k.handleResult(res) || ends
		case d := <-k.dialed():
			k.handleDialed(d)
		case <-k.due():
			k.handleDue(time.Now())
		case <-timeout:
			return k.out
		case <-lingered:
			return k.out
		case <-ctx.Done():
			return k.out
		}
		d := k.lingers()
		if ends && d == 0 {
			return k.out
		}
		if ends && lingered == nil {
			lingered = time.After(d)
		}
	}
	return k.out
}

// WaitLate is Wait, without patience, for a message that was stored meanwhile: from now on a
// 6xx is the answer of one device.
func (k *Fork) WaitLate(ctx context.Context) Outcome {
	k.opt.StopAt6xx = false
	return k.Wait(ctx, 0)
}

// Abandon ends the Fork. Responses that come later are ignored.
func (k *Fork) Abandon() {
	k.remove()
	if k.dialer != nil {
		k.dialer.stop()
	}
	if k.timer != nil {
		k.timer.Stop()
	}
	for i := range k.sent {
		k.sent[i].tx.Abandon()
	}
}

// handleResult counts a result, and tries the next target or route of a device if one has
// failed. It reports whether the result ends Wait.
func (k *Fork) handleResult(res transaction.Result) (ends bool) {
	if res.Tx == nil {
		return k.follow()
	}
	t := k.forget(slices.IndexFunc(k.sent, func(t transmission) bool { return t.tx == res.Tx }))
	a := &k.attempts[t.attempt]
	if res.Err == nil {
		k.out.Answered = true
		k.proxy.transport.Answered(t.tx.Flow)
	}
	if k.proxy.watch.Active() && !k.opt.probe {
		k.publishAnswered(t.route.URI, res)
	}
	switch {
	case res.Err == nil && (res.Response.Status < 300 || k.opt.probe):
		if a.state != stateEnded {
			k.leave(t.attempt, stateEnded)
			k.out.Open--
		}
		if !k.out.Accepted() {
			k.out.Response = res.Response
		}
		return true
	case t.superseded:
		k.handleLate(&t, res)
		return false
	}
	a.tx = nil
	k.heard(t.attempt, res)
	if errors.Is(res.Err, transport.ErrClosed) {
		a.reopen()
	}
	switch {
	case flowFailed(res) && a.hasNext():
		k.out.Rerouted++
		k.startNext(t.attempt)
		return false
	case res.Err == nil && res.Response.Status == 503 && len(a.targets) > 0: // RFC 3263 section 4.3
		a.refusal = res.Response
		k.out.Rerouted++
		k.startNext(t.attempt)
		return false
	case res.Err != nil:
		k.exhausted(t.attempt)
		return false
	}
	a.refusal = res.Response
	k.end(t.attempt)
	return k.opt.StopAt6xx && res.Response.Status >= 600
}

// handleLate handles the failure of a transmission after which the device was tried over
// another route. It counts only if that fails too.
func (k *Fork) handleLate(t *transmission, res transaction.Result) {
	a := &k.attempts[t.attempt]
	if !flowFailed(res) && !t.gone {
		a.refusal = res.Response
	}
	k.endListening(t.attempt)
}

// end ends an attempt that was not successful.
func (k *Fork) end(i int) {
	a := &k.attempts[i]
	k.leave(i, stateEnded)
	k.out.Open--
	if a.refusal == nil {
		k.out.Unreached++
		return
	}
	k.out.Failures = append(k.out.Failures, a.refusal.Status)
	if refuses(a.device, a.refusal.Status) {
		k.out.Refused = append(k.out.Refused, Refusal{a.device, a.refusal.Status, a.refusal.Reason})
	}
	if preferred(a.refusal, k.out.Response) {
		k.out.Response = a.refusal
	}
}

// flowFailed reports whether a flow can no longer be used (RFC 5626 section 5.3).
func flowFailed(res transaction.Result) bool {
	return res.Err != nil || res.Response.Status == 430 || res.Response.Status == 408
}

// preferred reports whether the failure response a is better than b, which may be nil: a 6xx,
// else one of a lower class (RFC 3261 section 16.7, step 6).
func preferred(a, b *sip.Message) bool {
	switch {
	case b == nil:
		return true
	case b.Status >= 600, b.Status < 300:
		return false
	case a.Status >= 600:
		return true
	}
	return a.Status/100 < b.Status/100
}
