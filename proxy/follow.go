package proxy

import (
	"slices"
	"time"

	"silod/sip/transaction"
)

const (
	// graceTime is the age that a transmission must have reached before the device is tried
	// over a new binding: a response may be under way.
	graceTime = 300 * time.Millisecond
	// maxFollowed limits the changes of bindings that have a Fork try something new, so that
	// a client which registers again and again, and never answers, does not keep it open.
	maxFollowed = 60
	// followPatience limits the wait for older Forks to the same user.
	followPatience = 100 * time.Millisecond
)

// follow has the Fork follow a change of its recipient's bindings. It reports whether Wait
// ends, because a device has accepted the message in the meantime.
func (k *Fork) follow() (ends bool) {
	n := k.takeNotice()
	defer close(n.done)
	if n.after != nil {
		t := time.NewTimer(followPatience)
		defer t.Stop()
		select {
		case <-n.after:
		case <-t.C:
		}
	}
	if k.drain() {
		return true
	}
	if r := k.out.Response; k.opt.StopAt6xx && r != nil && r.Status >= 600 {
		return false // no new branches
	}
	k.update(k.devices())
	return false
}

// drain handles the results that have arrived: a device that has just answered is not asked
// again. It reports whether Wait ends.
func (k *Fork) drain() (ends bool) {
	for {
		var res transaction.Result
		select {
		case res = <-k.results:
		case res = <-k.spare:
		default:
			return false
		}
		if res.Tx == nil { // the devices are read after this
			close(k.takeNotice().done)
		} else if k.handleResult(res) {
			return true
		}
	}
}

// update compares the devices of the recipient with those that are being tried. A device
// that has answered is not asked again, and one whose route is unchanged keeps its attempt:
// a refresh sends nothing.
func (k *Fork) update(devices []Device) {
	of, kept := k.match(devices)
	for i := range kept {
		if !kept[i] {
			k.move(i, nil)
		}
	}
	for d, i := range of {
		if i >= 0 {
			k.move(i, devices[d].Routes)
			continue
		}
		name := devices[d].Name
		if !k.mayFollow() || slices.ContainsFunc(k.attempts, func(a attempt) bool { return a.device == name && a.answered() }) {
			continue
		}
		k.followed++
		k.attempts = append(k.attempts, newAttempt(&devices[d]))
		k.out.Open++
		k.begin(len(k.attempts) - 1)
	}
}

// match returns the index of the attempt of each device, -1 for a device without one, and
// for each attempt whether it has a device. They belong together if they have a binding in
// common; else, if the attempt has no binding left, by the name of the device.
func (k *Fork) match(devices []Device) (of []int, kept []bool) {
	byBinding := make(map[string]int, len(k.attempts))
	for i := range k.attempts {
		for j := range k.attempts[i].routes {
			byBinding[k.attempts[i].routes[j].ruid()] = i
		}
	}
	of, kept = make([]int, len(devices)), make([]bool, len(k.attempts))
	for d := range devices {
		of[d] = -1
		for j := range devices[d].Routes {
			if i, ok := byBinding[devices[d].Routes[j].ruid()]; ok && !kept[i] {
				of[d], kept[i] = i, true
				break
			}
		}
	}
	byName := make(map[string]int)
	for i := range k.attempts {
		if !kept[i] {
			byName[k.attempts[i].device] = i
		}
	}
	for d := range devices {
		if i, ok := byName[devices[d].Name]; ok && of[d] < 0 && !kept[i] {
			of[d], kept[i] = i, true
		}
	}
	return of, kept
}

// answered reports whether the device has answered the message.
func (a *attempt) answered() bool { return a.state == stateEnded && a.refusal != nil }

// move has an attempt follow a change of the routes to its device. A route that is new is
// tried next, the newest first: the device has just been there.
func (k *Fork) move(i int, routes []Route) {
	a := &k.attempts[i]
	if a.answered() {
		return
	}
	fresh, rest := a.compare(routes)
	a.routes = routes
	for j := range k.sent {
		if t := &k.sent[j]; t.attempt == i && !slices.ContainsFunc(routes, t.route.same) {
			t.gone = true
		}
	}
	switch a.state {
	case stateQueued:
		if a.rest = slices.Concat(fresh, rest); len(a.rest) == 0 {
			k.endQueued(func(j int) bool { return j == i })
		}
	case stateEnded, stateListening:
		k.revive(i, fresh)
	case stateDialing, stateSent:
		k.redirect(i, fresh, rest)
	}
}

// compare returns the routes that are new to an attempt, and those that it knows and has not
// tried.
func (a *attempt) compare(routes []Route) (fresh, rest []Route) {
	for _, r := range routes {
		switch {
		case !slices.ContainsFunc(a.routes, r.same):
			fresh = append(fresh, r)
		case slices.ContainsFunc(a.rest, r.same):
			rest = append(rest, r)
		}
	}
	return fresh, rest
}

// revive has an attempt that had nothing left to try begin again with new routes.
func (k *Fork) revive(i int, fresh []Route) {
	a := &k.attempts[i]
	switch {
	case len(fresh) > 0 && k.mayFollow():
		k.followed++
		if a.state == stateEnded {
			k.out.Unreached--
			k.out.Open++
		}
		a.rest, a.targets = fresh, nil
		k.begin(i)
	case a.state == stateListening && !k.listens(i):
		k.end(i)
	}
}

// redirect has a running attempt go on to new routes, or to the rest of the known ones if the
// route in use is gone. Otherwise the attempt continues.
func (k *Fork) redirect(i int, fresh, rest []Route) {
	a := &k.attempts[i]
	gone := !slices.ContainsFunc(a.routes, a.route.same)
	if !k.mayFollow() {
		fresh = nil
	}
	if len(fresh) == 0 && !gone {
		if a.state == stateDialing {
			return // the routes that are left are known to the goroutine that dials
		}
		a.rest = rest
		if slices.ContainsFunc(a.routes, a.route.restarted) {
			a.tx.Retransmit() // the device does not know the transaction, and may answer now
		}
		return
	}
	k.followed++
	a.rest, a.targets = slices.Concat(fresh, rest), nil
	if a.moved {
		return // handleDue continues
	}
	if left := graceTime - a.age(); left > 0 {
		a.moved = true
		k.setDue(a, left)
		return
	}
	k.supersede(i)
	k.startNext(i)
}

// mayFollow reports whether a change of bindings may have the Fork try something new.
func (k *Fork) mayFollow() bool { return k.followed < maxFollowed }

// age returns the time since the request was sent, graceTime if it was not.
func (a *attempt) age() time.Duration {
	if a.state != stateSent {
		return graceTime
	}
	return a.tx.Age()
}

// restarted reports whether the device of a binding has restarted since it had the route: its
// REGISTER has another Call-ID. The route to a proxy has no binding.
func (r Route) restarted(now Route) bool {
	return r.Binding != nil && r.same(now) && r.Binding.CallID != now.Binding.CallID
}

// same reports whether two routes are the same way to the same binding. A route that was
// dialled anew because its connection was closed has no flow.
func (r Route) same(other Route) bool {
	return r.ruid() == other.ruid() && r.URI == other.URI && slices.Equal(r.Path, other.Path) &&
		(r.Flow == other.Flow || r.Flow.IsZero())
}
