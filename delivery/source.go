package delivery

import (
	"context"

	"silod/sip"
)

// Verdict is what became of an attempt to deliver an item.
type Verdict int

// The verdicts.
const (
	Undelivered Verdict = iota // nobody took it: kept, tried again with back-off and at the next REGISTER
	Delivered                  // a 2xx came back
	Refused                    // it will never be accepted: set aside with its reason
	Offline                    // the owner has no reachable contact: kept until the next REGISTER
)

// Outcome is a verdict with its reason in words, "603 Decline" for one.
type Outcome struct {
	Verdict  Verdict
	Reason   string
	Answered bool // a device said so, and is alive
}

// Attempt is an item on its way.
type Attempt interface {
	// Wait waits for the final answer, or until ctx ends.
	Wait(ctx context.Context) Outcome
}

// Wait makes an Outcome an Attempt: one that has ended at once.
func (o Outcome) Wait(context.Context) Outcome { return o }

// Source holds messages that wait for their recipients. The silo and the rooms
// are the Sources.
type Source interface {
	// Next gives the oldest waiting items of owner with a Key above after, at most
	// limit of them, oldest first. Expired items and items set aside are left out.
	Next(ctx context.Context, owner sip.AoR, after int64, limit int) ([]Item, error)

	// Settle records that an item was delivered or refused, so that Next does not
	// return it again. It may return before that is durable; done is called exactly
	// once when it is, or has failed. After an error the engine does not send the
	// item again, whatever Next returns, and calls Settle again with back-off.
	Settle(owner sip.AoR, it *Item, out Outcome, done func(error))

	// Waiting calls f for every owner that has something waiting.
	Waiting(ctx context.Context, f func(owner sip.AoR)) error
}

// Sender is the way to the contacts of owners.
type Sender interface {
	// Send puts one item on its way to an owner's contacts. The engine waits for the
	// Attempt that it gives, once.
	Send(ctx context.Context, owner sip.AoR, it *Item) Attempt

	// Alive tells whether a contact of the owner's answers anything at all just now.
	// It is asked when an item has been left without an answer again and again.
	Alive(ctx context.Context, owner sip.AoR) bool
}
