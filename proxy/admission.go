package proxy

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"silod/sip"
	"silod/sip/transaction"
)

const (
	// maxBreadth is the number of devices that one message is sent to at the same time.
	maxBreadth = sip.MaxBreadth
	// maxUnheard is the number of contacts at one address that a message is sent to at the
	// same time, as long as none of them has answered. A client can register any number of
	// contacts at an address that is not its own.
	maxUnheard = 4
	// maxQueueTime is how long after the start of a Fork an attempt may begin: Timer F.
	maxQueueTime = 32 * time.Second
)

// An admission decides which attempts of a Fork may run, and holds those that wait for others
// to end.
type admission struct {
	queue []int                  // indexes of attempts, in order
	until time.Time              // when those that still wait end
	open  map[netip.AddrPort]int // running attempts by address
	heard map[netip.AddrPort]bool
	hops  map[int]netip.AddrPort // addresses of running attempts
}

// begin starts an attempt, or queues it if too many are running.
func (k *Fork) begin(i int) {
	if k.admission == nil && (len(k.attempts) > maxUnheard || k.running >= k.opt.Breadth) {
		k.admission = &admission{
			until: time.Now().Add(maxQueueTime), open: make(map[netip.AddrPort]int),
			heard: make(map[netip.AddrPort]bool), hops: make(map[int]netip.AddrPort),
		}
	}
	if k.running >= k.opt.Breadth || !k.admission.enter(i, &k.attempts[i]) {
		k.attempts[i].state = stateQueued
		k.admission.queue = append(k.admission.queue, i)
		return
	}
	k.running++
	k.attempts[i].state = stateDialing
	k.startNext(i)
}

// beginQueued starts as many queued attempts as may run now. After maxQueueTime it ends them.
func (k *Fork) beginQueued() {
	if k.admission == nil || len(k.admission.queue) == 0 {
		return
	}
	if time.Now().After(k.admission.until) {
		k.endQueued(func(int) bool { return true })
		return
	}
	for begun := true; begun && k.running < k.opt.Breadth; {
		queue := k.admission.queue
		k.admission.queue = nil
		for _, i := range queue {
			k.begin(i)
		}
		begun = len(k.admission.queue) < len(queue)
	}
}

// endQueued ends the queued attempts for which f returns true.
func (k *Fork) endQueued(f func(i int) bool) {
	k.admission.queue = slices.DeleteFunc(k.admission.queue, func(i int) bool {
		if f(i) {
			k.end(i)
			return true
		}
		return false
	})
}

// heard takes note of a result of an attempt. An address that does not answer gets no other
// attempt.
func (k *Fork) heard(i int, res transaction.Result) {
	if k.admission == nil {
		return
	}
	hop, ok := k.admission.hops[i]
	switch {
	case !ok:
	case res.Err == nil:
		k.admission.heard[hop] = true
	case errors.Is(res.Err, transaction.ErrTimeout) && !k.admission.heard[hop]:
		k.endQueued(func(j int) bool { return hopOf(&k.attempts[j]) == hop })
	}
}

// enter counts an attempt, unless too many are running at its address.
func (d *admission) enter(i int, a *attempt) bool {
	if d == nil {
		return true
	}
	hop := hopOf(a)
	if !hop.IsValid() {
		return true
	}
	if d.open[hop] >= maxUnheard && !d.heard[hop] {
		return false
	}
	d.open[hop]++
	d.hops[i] = hop
	return true
}

// left is called when an attempt is not running any more.
func (d *admission) left(i int) {
	if d == nil {
		return
	}
	if hop, ok := d.hops[i]; ok {
		d.open[hop]--
		delete(d.hops, i)
	}
}

// hopOf returns the address that is next for an attempt if it is limited: it is not the
// connection of a client or behind a proxy, and the contact has no instance. Otherwise it
// returns the zero AddrPort.
func hopOf(a *attempt) netip.AddrPort {
	if len(a.rest) == 0 {
		return netip.AddrPort{}
	}
	r := &a.rest[0]
	if r.Binding == nil || r.Next != nil || a.device != r.URI || r.Flow.Conn != 0 {
		return netip.AddrPort{}
	}
	if !r.Flow.IsZero() {
		return r.Flow.Remote
	}
	next, err := r.nextHop()
	if err != nil {
		return netip.AddrPort{}
	}
	to, _ := next.AddrPort()
	return to
}
