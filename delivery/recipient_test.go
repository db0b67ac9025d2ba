package delivery

import (
	"testing"
	"time"
)

// Every change of state, from every state in which it occurs.
func TestRecipient(t *testing.T) {
	const first, second = uint(1), uint(2)
	// Steps that lead to a state.
	toQueued := func(r *recipient) action { return r.wake(first) }
	toWorking := func(r *recipient) action { toQueued(r); return r.begin() }
	toWaiting := func(r *recipient) action { toWorking(r); return r.finish(Undelivered, first) }
	toRetrying := func(r *recipient) action { toWaiting(r); return r.due() }
	toHeld := func(r *recipient) action { r.hold(first); return none }

	for _, tc := range []struct {
		name              string
		from, step        func(r *recipient) action
		want              action
		state             state
		pending, draining uint
	}{
		{"woken", func(r *recipient) action { return none }, func(r *recipient) action { return r.wake(first) }, enqueue, queued, first, 0},
		{"woken again", toQueued, func(r *recipient) action { return r.wake(second) }, none, queued, first | second, 0},
		{"woken during a pass", toWorking, func(r *recipient) action { return r.wake(first) }, none, working, first, first},
		{"woken while waiting", toWaiting, func(r *recipient) action { return r.wake(second) }, enqueue, queued, first | second, 0},
		{"woken for a retry that is due", toRetrying, func(r *recipient) action { return r.wake(second) }, enqueue, queued, first | second, 0},
		{"woken while held", toHeld, func(r *recipient) action { return r.wake(second) }, none, held, first | second, 0},

		{"expedited in the queue", toQueued, (*recipient).expedite, none, queued, first, 0},
		{"expedited while waiting", toWaiting, (*recipient).expedite, enqueue, queued, first, 0},
		{"expedited while waiting and held", func(r *recipient) action { toWaiting(r); return toHeld(r) }, (*recipient).expedite, none, held, first, 0},

		{"taken by a worker", toQueued, (*recipient).begin, proceed, working, 0, first},
		{"held in the queue", func(r *recipient) action { toQueued(r); return toHeld(r) }, (*recipient).begin, none, held, first, 0},

		{"emptied", toWorking, func(r *recipient) action { return r.finish(Delivered, 0) }, forget, working, 0, 0},
		{"offline", toWorking, func(r *recipient) action { return r.finish(Offline, first) }, forget, working, 0, 0},
		{"not delivered", toWorking, func(r *recipient) action { return r.finish(Undelivered, first) }, wait, waiting, first, 0},
		{
			"emptied, but woken", func(r *recipient) action { toWorking(r); return r.wake(second) },
			func(r *recipient) action { return r.finish(Delivered, 0) }, proceed, working, 0, second,
		},
		{
			"not delivered, but woken", func(r *recipient) action { toWorking(r); return r.wake(second) },
			func(r *recipient) action { return r.finish(Undelivered, first) }, proceed, working, 0, first | second,
		},
		{
			"offline, but held", func(r *recipient) action { toWorking(r); r.hold(second); return none },
			func(r *recipient) action { return r.finish(Offline, first) }, none, held, first | second, 0,
		},

		{"due", toWaiting, (*recipient).due, enqueueRetry, retrying, first, 0},
		{"due after a wake-up", func(r *recipient) action { toWaiting(r); return r.wake(first) }, (*recipient).due, none, queued, first, 0},
		{"due while held", func(r *recipient) action { toWaiting(r); return toHeld(r) }, (*recipient).due, none, held, first, 0},

		{"released", toHeld, (*recipient).release, enqueue, queued, first, 0},
		{"released once of two", func(r *recipient) action { toHeld(r); return toHeld(r) }, (*recipient).release, none, held, first, 0},
		{"released in the queue", func(r *recipient) action { toQueued(r); return toHeld(r) }, (*recipient).release, none, queued, first, 0},
		{"released during a pass", func(r *recipient) action { toWorking(r); return toHeld(r) }, (*recipient).release, none, working, first, first},
		{"released while waiting", func(r *recipient) action { toWaiting(r); return toHeld(r) }, (*recipient).release, none, waiting, first, 0},
	} {
		r := new(recipient)
		tc.from(r)
		if got := tc.step(r); got != tc.want || r.state != tc.state || r.pending != tc.pending || r.draining != tc.draining {
			t.Errorf("%s: action %d, want %d; state %d, want %d; pending %b, want %b; draining %b, want %b",
				tc.name, got, tc.want, r.state, tc.state, r.pending, tc.pending, r.draining, tc.draining)
		}
		if bits := r.pending | r.draining; r.busy(first) != (bits&first != 0) || r.busy(second) != (bits&second != 0) {
			t.Errorf("%s: busy with the wrong queues", tc.name)
		}
	}
}

// An entry in the retry list is void when the recipient was woken meanwhile.
func TestVoidRetry(t *testing.T) {
	r := new(recipient)
	r.wake(1)
	r.begin()
	r.finish(Undelivered, 1)
	r.due()
	r.wake(1)
	if r.retry() {
		t.Error("queued twice")
	}
}

func TestBackOff(t *testing.T) {
	r := new(recipient)
	var got []time.Duration
	for range 4 {
		r.wake(1)
		r.begin()
		r.finish(Undelivered, 1)
		got = append(got, r.backOff(time.Second, time.Minute))
		r.due()
		r.retry()
		r.begin()
		r.finish(Undelivered, 1)
		got = append(got, r.backOff(time.Second, time.Minute))
	}
	for i, d := range got {
		if want := time.Second << (i % 2); d != want { // a wake-up begins anew
			t.Errorf("wait %d: %v, want %v", i, d, want)
		}
	}
	r.retries = 1000
	if d := r.backOff(time.Second, time.Minute); d != time.Minute {
		t.Errorf("after many failures: %v", d)
	}
}
