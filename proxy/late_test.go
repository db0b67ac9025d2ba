package proxy

import (
	"context"
	"testing"
	"time"

	"silod/sip"
	"silod/sip/transaction"
)

// After a 6xx the others are tried if the message was stored meanwhile: those that wait for
// their turn, and those that register.
func TestWaitLate(t *testing.T) {
	t.Parallel()
	p := fixture(t, nil)
	late := func(f *following, devices ...Device) Outcome {
		if out := f.fork.Wait(t.Context(), 3*time.Second); out.Open != 1 || out.Response.Status != 603 {
			t.Fatalf("%+v", out)
		}
		if devices != nil {
			time.AfterFunc(2*graceTime, func() {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.devices = devices
				p.Registered(user("bob"))
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return f.fork.WaitLate(ctx)
	}
	decline, accept, silent := overUDP(t, 603, 0), overUDP(t, 200, 0), overUDP(t, 0, 0)
	f := follow(t, p, ForkOptions{StopAt6xx: true, Breadth: 1}, p.to("A", decline), p.to("B", accept))
	if out := late(f); !out.Accepted() {
		t.Errorf("a device that was not tried yet: %+v", out)
	}
	f = follow(t, p, ForkOptions{StopAt6xx: true}, p.to("A", decline), p.to("B", silent))
	if out := late(f, p.to("A", decline), p.to("B", accept)); !out.Accepted() {
		t.Errorf("a device that has a new address: %+v", out)
	}
}

// A device whose routes have not changed keeps its place, but routes that are gone are not
// tried when the one in use fails.
func TestRoutesThatAreGone(t *testing.T) {
	t.Parallel()
	p := fixture(t, nil)
	refused, gone := overUDP(t, 408, time.Second), overUDP(t, 200, 0)
	f := follow(t, p, ForkOptions{}, p.to("A", refused, gone))
	out := f.register(3*time.Second, p.to("A", refused))
	gone.sentTo(t, "a flow that is gone", 0)
	if out.Open != 0 || len(out.Failures) != 1 {
		t.Errorf("%+v", out)
	}
}

// A Fork to a sips URI follows to routes over TLS only.
func TestSecureForkFollows(t *testing.T) {
	t.Parallel()
	p := fixture(t, nil)
	k := &Fork{proxy: p, opt: ForkOptions{Secure: true, Directory: fixed{p.to("A", overUDP(t, 200, 0))}}}
	if ds := k.devices(); len(ds) != 0 {
		t.Errorf("%+v", ds)
	}
}

// A transmission that is abandoned because there are too many does not leave its attempt open.
func TestTooManyTransmissions(t *testing.T) {
	t.Parallel()
	p := fixture(t, nil)
	d := p.to("A", overUDP(t, 0, 0))
	k := p.Fork(t.Context(), hello, []Device{d}, ForkOptions{})
	defer k.Abandon()
	k.spare = make(chan transaction.Result, 1)
	k.supersede(0)
	k.sent[0].spare, k.slotsUsed, k.sparesUsed = true, 1, 1
	k.leave(0, stateListening)
	if _, err := k.takeSlot(&transmission{}); err != nil {
		t.Fatal(err)
	}
	if k.out.Open != 0 || k.out.Unreached != 1 {
		t.Errorf("%+v", k.out)
	}
}

// A Fork that has panicked is not left in the index.
func TestPanicLeavesNoFork(t *testing.T) {
	t.Parallel()
	p := fixture(t, nil)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		p.Registered(user("bob"))
		p.Fork(t.Context(), hello, nil, ForkOptions{Recipient: user("bob"), Directory: panicking{}})
	}()
	if b := p.forks.bucket(user("bob")); b.oldest != nil {
		t.Error("a Fork is left in the index")
	}
}

type panicking struct{}

func (panicking) Devices(sip.AoR) []Device { panic("a fault") }
