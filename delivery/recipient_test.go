package delivery

import (
	"slices"
	"testing"
	"time"
)

// Every change of state, from every state in which it occurs.
func TestRecipient(t *testing.T) {
	const first, second = uint(1), uint(2)
	// Steps that lead to a state.
	toQueued := func(r *recipient) action { return r.wake(first) }
	toWorking := func(r *recipient) action { toQueued(r); return r.begin() }
	failing := func(r *recipient, last sign) { r.signs.last, r.signs.failing = last, true }
	toWaiting := func(r *recipient) action { toWorking(r); failing(r, answered); return r.finish(Undelivered, first) }
	toPostponed := func(r *recipient) action { toWorking(r); return r.finish(Undelivered, first) }
	toSilent := func(r *recipient) action { toWorking(r); failing(r, silence); return r.finish(Undelivered, first) }
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
		{"woken while waiting", toWaiting, func(r *recipient) action { return r.wake(second) }, none, waiting, first | second, 0},
		{"woken while other items are postponed", toPostponed, func(r *recipient) action { return r.wake(second) }, enqueue, queued, first | second, 0},
		{"woken before the first try", func(r *recipient) action { return r.wakeLater(first) }, func(r *recipient) action { return r.wake(second) }, enqueue, queued, first | second, 0},
		{"woken for a retry that is due", func(r *recipient) action { toWaiting(r); return r.due() }, func(r *recipient) action { return r.wake(second) }, none, queued, first | second, 0},

		{"registered", func(r *recipient) action { return none }, func(r *recipient) action { return r.news(first) }, enqueue, queued, first, 0},
		{"registered while waiting", toWaiting, func(r *recipient) action { return r.news(second) }, enqueue, queued, first | second, 0},
		{"registered during a pass", toWorking, func(r *recipient) action { return r.news(second) }, none, working, second, first},
		{"registered while behind silent ones", func(r *recipient) action { toSilent(r); return r.due() }, func(r *recipient) action { return r.news(first) }, enqueue, queued, first, 0},
		{"woken while held", toHeld, func(r *recipient) action { return r.wake(second) }, none, held, first | second, 0},

		{"expedited in the queue", toQueued, (*recipient).expedite, none, queued, first, 0},
		{"expedited while waiting", toWaiting, (*recipient).expedite, enqueue, queued, first, 0},
		{"expedited while waiting and held", func(r *recipient) action { toWaiting(r); return toHeld(r) }, (*recipient).expedite, none, held, first, 0},

		{"taken by a worker", toQueued, (*recipient).begin, proceed, working, 0, first},
		{"held in the queue", func(r *recipient) action { toQueued(r); return toHeld(r) }, (*recipient).begin, none, held, first, 0},

		{"emptied", toWorking, func(r *recipient) action { return r.finish(Delivered, 0) }, forget, idle, 0, 0},
		{"offline", toWorking, func(r *recipient) action { return r.finish(Offline, first) }, forget, idle, 0, 0},
		{"not delivered", toWorking, func(r *recipient) action { return r.finish(Undelivered, first) }, wait, waiting, first, 0},
		{
			"emptied, but woken", func(r *recipient) action { toWorking(r); return r.wake(second) },
			func(r *recipient) action { return r.finish(Delivered, 0) }, proceed, working, 0, second,
		},
		{
			"not delivered, but woken", func(r *recipient) action { toWorking(r); failing(r, answered); return r.wake(second) },
			func(r *recipient) action { return r.finish(Undelivered, first) }, wait, waiting, first | second, 0,
		},
		{
			"others postponed, but woken", func(r *recipient) action { toWorking(r); return r.wake(second) },
			func(r *recipient) action { return r.finish(Undelivered, first) }, proceed, working, 0, first | second,
		},
		{
			"not delivered, but registered", func(r *recipient) action { toWorking(r); failing(r, answered); return r.news(second) },
			func(r *recipient) action { return r.finish(Undelivered, first) }, proceed, working, 0, first | second,
		},
		{
			"offline, but woken", func(r *recipient) action { toWorking(r); return r.wake(second) },
			func(r *recipient) action { return r.finish(Offline, first) }, proceed, working, 0, first | second,
		},
		{
			"offline, but held", func(r *recipient) action { toWorking(r); r.hold(second); return none },
			func(r *recipient) action { return r.finish(Offline, first) }, none, held, first | second, 0,
		},

		{"due", toWaiting, (*recipient).due, enqueue, queued, first, 0},
		{"due after a REGISTER", func(r *recipient) action { toWaiting(r); return r.news(first) }, (*recipient).due, none, queued, first, 0},
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

// The response to the last request decides the class. A REGISTER is a new start for a recipient
// that did not answer.
func TestClass(t *testing.T) {
	pass := func(last sign, late bool) func(*recipient) {
		return func(r *recipient) {
			r.wake(1)
			r.begin()
			r.signs.last, r.late = last, late
			r.finish(Delivered, 0)
		}
	}
	for _, tc := range []struct {
		name  string
		steps []func(*recipient)
		want  class
	}{
		{"nothing sent", []func(*recipient){pass(unsent, false)}, unknown},
		{"answered", []func(*recipient){pass(answered, false)}, prompt},
		{"answered late", []func(*recipient){pass(answered, true)}, slow},
		{"prompt again", []func(*recipient){pass(answered, true), pass(answered, false)}, prompt},
		{"no answer", []func(*recipient){pass(answered, false), pass(silence, true)}, silent},
		{"no answer, then nothing sent", []func(*recipient){pass(silence, true), pass(unsent, false)}, silent},
		{"no answer, then registered", []func(*recipient){pass(silence, true), func(r *recipient) { r.news(1) }}, unknown},
	} {
		r := new(recipient)
		for _, step := range tc.steps {
			step(r)
		}
		if r.class != tc.want {
			t.Errorf("%s: class %d, want %d", tc.name, r.class, tc.want)
		}
	}
}

// A new message does not reset the back-off; a REGISTER and a success do.
func TestBackOff(t *testing.T) {
	r := new(recipient)
	var got []float64 // seconds
	fail := func() {
		r.begin()
		r.signs.failing = true
		r.finish(Undelivered, 1)
		got = append(got, r.backOff(time.Second, time.Minute).Seconds())
	}
	r.wake(1)
	fail()
	r.wake(1)
	r.due()
	fail()
	r.due()
	fail()
	r.news(1)
	fail()
	r.due()
	r.begin()
	r.finish(Delivered, 0)
	r.wake(1)
	fail()
	r.due()
	fail()
	r.due()
	r.signs.note(Outcome{Verdict: Delivered}) // the first item of the pass that fails at the next one
	fail()
	if want := []float64{1, 2, 4, 1, 1, 2, 1}; !slices.Equal(got, want) {
		t.Errorf("waits %v, want %v", got, want)
	}
	r.retries = 1000
	if d := r.backOff(time.Second, time.Minute); d != time.Minute {
		t.Errorf("after many failures: %v", d)
	}
}
