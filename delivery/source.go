package delivery

import (
	"context"

	"silod/sip"
)

// A Verdict is the result of an attempt to deliver an item.
type Verdict int

// The verdicts.
const (
	Undelivered Verdict = iota // no device accepted it: kept, retried with back-off and at the next REGISTER
	Delivered                  // a device answered 2xx
	Refused                    // no device will ever accept it: set aside with the reason
	Offline                    // the owner has no reachable contact: kept until the next REGISTER
)

// An Outcome is a verdict with its reason.
type Outcome struct {
	Verdict  Verdict
	Reason   string // such as "603 Decline"
	Answered bool   // a device has answered, and is alive

	// For an item with PerDevice that no device has accepted:
	Refusals []Refusal // of devices that will never accept it
	Failed   []string  // the other devices to which it was sent
	Silent   bool      // one of Failed has not answered
}

// An Attempt is an item in flight.
type Attempt interface {
	// Wait waits for the final response, or until ctx ends.
	Wait(ctx context.Context) Outcome
}

// Wait implements Attempt for an attempt that has ended already.
func (o Outcome) Wait(context.Context) Outcome { return o }

// A Source holds messages that wait for their owners, the users that they are addressed to.
type Source interface {
	// Next returns the oldest waiting items of owner with a Key above after, oldest
	// first, limit at most. Expired items are left out, and items that all devices of the
	// owner have refused.
	Next(ctx context.Context, owner sip.AoR, after int64, limit int) ([]Item, error)

	// Settle removes an item that was delivered or sets aside an item that was refused,
	// so that Next does not return it again. For other verdicts, it records the refusals
	// of the outcome, so that Next returns them in Item.Refused. It may return before that is durable. It
	// calls done exactly once: when it is durable, or with an error. After an error the
	// engine does not send the item again, even if Next returns it, and calls Settle
	// again with back-off.
	Settle(owner sip.AoR, it *Item, out Outcome, done func(error))

	// Waiting calls f for every owner of a waiting item. f may wait.
	Waiting(ctx context.Context, f func(owner sip.AoR)) error
}

// A Sender sends items to the contacts of owners.
type Sender interface {
	// Send sends one item to an owner's contacts. The engine calls the Attempt's Wait
	// once.
	Send(ctx context.Context, owner sip.AoR, it *Item) Attempt

	// Alive reports whether a device of the owner answers any request at present: one of
	// these names, or any if there are none. The engine asks when an item has repeatedly
	// got no answer.
	Alive(ctx context.Context, owner sip.AoR, devices []string) bool
}
