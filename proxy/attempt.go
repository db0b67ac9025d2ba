package proxy

import (
	"errors"
	"slices"
	"time"

	"silod/sip"
	"silod/sip/transaction"
	"silod/sip/transport"
)

// An attempt sends to one device over one flow at a time.
type attempt struct {
	device  string // its name
	state   attemptState
	widened bool                  // in state dialing: the flow was found, and is too small for the message
	moved   bool                  // due is set because the binding was replaced
	dials   int32                 // counts calls of Fork.dial
	routes  []Route               // of the device
	rest    []Route               // of routes that have not been tried
	route   *Route                // in use
	targets []transport.Target    // of route that have not been tried
	tx      *transaction.ClientTx // that counts, in state sent
	refusal *sip.Message          // the response of the device, or of a target that was followed by another
	due     time.Time             // in state sent: when the next target or route is tried; zero: at a failure only
}

type attemptState uint8

const (
	stateQueued    attemptState = iota // waits for others to end: see admission
	stateDialing                       // a goroutine resolves a name or opens a connection
	stateSent                          // waits for the response to tx
	stateListening                     // nothing is left to try; superseded transmissions may get a response
	stateEnded
)

// A transmission is a transaction without a final response.
type transmission struct {
	tx         *transaction.ClientTx
	route      *Route
	attempt    int
	spare      bool // has a slot in Fork.spare
	superseded bool // the attempt went on to another target or route
	gone       bool // the binding does not exist any more, and a failure means nothing
}

func newAttempt(d *Device) attempt {
	return attempt{device: d.Name, routes: d.Routes, rest: d.Routes}
}

// hasNext reports whether there is another target or route to try.
func (a *attempt) hasNext() bool { return len(a.targets) > 0 || len(a.rest) > 0 }

// The time after which the next target of a next hop is tried: at this time the request has
// been sent four times over UDP (RFC 3263 section 4.3, RFC 3261 section 17.1.2.2).
const targetTimeout = 4 * time.Second

// errNoSlot is the error for a Fork with too many transactions.
var errNoSlot = errors.New("too many transactions of one message")

// startNext sends the message over the next flow of an attempt that can be used. Where that
// may take time, dial continues it.
func (k *Fork) startNext(i int) {
	k.attempts[i].due, k.attempts[i].moved = time.Time{}, false
	for {
		a := &k.attempts[i]
		flow, ready, err := k.proxy.readyFlow(a)
		switch {
		case !ready:
			if len(a.targets) == 0 {
				a.route = &a.rest[0]
			}
			k.dial(i, k.proxy.nextFlow, false)
			return
		case errors.Is(err, errNoRoute):
			k.exhausted(i)
			return
		case err == nil:
			err = k.send(i, flow, false)
		}
		if err == nil {
			return
		}
		k.note(a, err)
	}
}

// note logs why a flow was not used.
func (k *Fork) note(a *attempt, err error) {
	k.out.Insecure = k.out.Insecure || errors.Is(err, errInsecure)
	var unresolved *unresolvedError
	if a.route.Binding == nil && errors.As(err, &unresolved) {
		k.out.Unresolved = err
	}
	k.proxy.log.Debug("device not reached", "contact", a.route.URI, "error", err)
}

// send sends the message over a flow of the attempt's route, in a transaction that becomes
// the attempt's. Unless sized is set, a message that is too large for UDP is sent later, when
// a TCP connection has been opened.
func (k *Fork) send(i int, flow sip.Flow, sized bool) error {
	a := &k.attempts[i]
	if (k.opt.Secure || a.route.secure()) && !flow.Transport.Secure() {
		return errInsecure
	}
	var few [24]sip.Header // enough for nearly every message
	out := k.request(a, few[:0])
	if !sized && flow.Transport == sip.UDP && out.Size() > transport.MaxDatagram {
		k.dial(i, k.proxy.widened(flow), true)
		return nil
	}
	t := transmission{route: a.route, attempt: i}
	results, err := k.takeSlot(&t)
	if err != nil {
		return err
	}
	if t.tx, err = k.proxy.transactions.Send(&out, k.mark, flow, results); err != nil {
		k.freeSlot(&t)
		if errors.Is(err, transport.ErrClosed) {
			a.reopen()
		}
		return err
	}
	k.sent = append(k.sent, t)
	a.tx, a.state = t.tx, stateSent
	if len(a.targets) > 0 {
		k.setDue(a, targetTimeout)
	}
	if k.proxy.watch.Active() && !k.opt.probe {
		k.publishSent(a.route.URI)
	}
	return nil
}

// request returns the request for the route of an attempt, with its header fields in space.
func (k *Fork) request(a *attempt, space []sip.Header) sip.Message {
	if k.opt.probe {
		return *optionsProbe(a.route, k.proxy.domains.Default())
	}
	return messageTo(k.msg, a.route, k.hop(a), space)
}

// exhausted is called when an attempt has nothing left to try.
func (k *Fork) exhausted(i int) {
	if k.listens(i) && k.attempts[i].refusal == nil {
		k.leave(i, stateListening)
		return
	}
	k.end(i)
}

// leave moves an attempt to a state in which it sends nothing.
func (k *Fork) leave(i int, to attemptState) {
	a := &k.attempts[i]
	if a.state == stateDialing || a.state == stateSent {
		k.running--
		k.admission.left(i)
	}
	a.state, a.tx, a.due, a.moved = to, nil, time.Time{}, false
}

// listens reports whether a superseded transmission of an attempt may get a response.
func (k *Fork) listens(i int) bool {
	return slices.ContainsFunc(k.sent, func(t transmission) bool { return t.attempt == i && !t.gone })
}

// endListening ends an attempt that waited for superseded transmissions only, if none is left
// or the device has answered one.
func (k *Fork) endListening(i int) {
	if a := &k.attempts[i]; a.state == stateListening && (a.refusal != nil || !k.listens(i)) {
		k.end(i)
	}
}

// supersede ends the retransmissions of an attempt's request, or its dialling.
func (k *Fork) supersede(i int) {
	a := &k.attempts[i]
	a.dials++ // the result of one in progress is ignored
	for j := range k.sent {
		if t := &k.sent[j]; t.tx == a.tx {
			t.superseded = true
			t.tx.Silence()
		}
	}
	a.tx = nil
}

// setDue sets the time at which an attempt is continued even without a failure.
func (k *Fork) setDue(a *attempt, in time.Duration) {
	a.due = time.Now().Add(in)
	if k.timer == nil {
		k.timer = time.NewTimer(in)
		return
	}
	k.resetTimer()
}

// resetTimer sets the timer for the next attempt that is due.
func (k *Fork) resetTimer() {
	var next time.Time
	for i := range k.attempts {
		if d := k.attempts[i].due; !d.IsZero() && (next.IsZero() || d.Before(next)) {
			next = d
		}
	}
	if !next.IsZero() {
		k.timer.Reset(time.Until(next))
	}
}

// due returns the channel of the timer.
func (k *Fork) due() <-chan time.Time {
	if k.timer == nil {
		return nil
	}
	return k.timer.C
}

// handleDue continues the attempts that are due: the target did not answer in time, or the
// binding has been replaced. A target that has sent a provisional response is at work.
func (k *Fork) handleDue(now time.Time) {
	for i := range k.attempts {
		a := &k.attempts[i]
		if a.due.IsZero() || a.due.After(now) {
			continue
		}
		a.due = time.Time{}
		if !a.moved {
			if a.tx.Proceeding() {
				continue
			}
			k.proxy.transport.Silent(a.tx.Flow)
		}
		k.out.Rerouted++
		k.supersede(i)
		k.startNext(i)
	}
	k.resetTimer()
}

// takeSlot takes a slot for the result of a transmission. If there is none, it abandons a
// superseded transmission.
func (k *Fork) takeSlot(t *transmission) (chan<- transaction.Result, error) {
	if k.slotsUsed < cap(k.results)-1 {
		k.slotsUsed++
		return k.results, nil
	}
	t.spare = true
	if k.spare == nil {
		k.spare = make(chan transaction.Result, 2*maxBreadth)
	}
	for j := 0; k.sparesUsed == cap(k.spare); {
		j = nextSuperseded(k.sent, j)
		if j < 0 {
			return nil, errNoSlot
		}
		if k.sent[j].spare && k.sent[j].tx.Abandon() {
			k.endListening(k.forget(j).attempt)
		} else {
			j++
		}
	}
	k.sparesUsed++
	return k.spare, nil
}

// nextSuperseded returns the index of the first superseded transmission from index j on, or
// -1.
func nextSuperseded(ts []transmission, j int) int {
	for ; j < len(ts); j++ {
		if ts[j].superseded {
			return j
		}
	}
	return -1
}

func (k *Fork) freeSlot(t *transmission) {
	if t.spare {
		k.sparesUsed--
	} else {
		k.slotsUsed--
	}
}

// forget removes a transmission that has ended, and returns it.
func (k *Fork) forget(j int) transmission {
	t := k.sent[j]
	k.sent = slices.Delete(k.sent, j, j+1)
	k.freeSlot(&t)
	return t
}
