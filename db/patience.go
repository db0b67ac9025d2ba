package db

import (
	"errors"
	"os"
	"sync/atomic"
	"time"
)

// waitTick is the time between two calls of patience.more. A commit is slow, and not doubtful yet,
// for slowTicks.
const (
	waitTick  = 250 * time.Millisecond
	slowTicks = 4
)

// A patience changes the time limits of the writer's connection. To give up a commit that has
// no answer yet helps nothing: a server that waits for its standby goes on waiting, and each
// further attempt would wait in a further session. So this wait lasts until the connection
// breaks, or more ends it. All other waits end with the batch.
//
// A nil patience changes nothing.
type patience struct {
	more    func() bool  // called during the wait by the goroutine that waits; reports whether it goes on
	waiting atomic.Bool  // for the answer to a commit
	until   atomic.Int64 // unix nanoseconds: the end of all other waits; 0 for none
	ticks   int          // calls of more during this wait; of the goroutine that waits
}

// limit returns the time limit of a read.
func (p *patience) limit(d time.Duration) time.Duration {
	switch {
	case p == nil:
	case p.waiting.Load():
		return waitTick
	default:
		if until := p.until.Load(); until != 0 {
			// A connection that is slow for a second is not given up.
			return min(d, max(time.Second, time.Until(time.Unix(0, until))))
		}
	}
	return d
}

// extends reports whether a read that has failed is repeated.
func (p *patience) extends(err error) bool {
	if p == nil || !p.waiting.Load() || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	p.ticks++
	return p.more()
}

// begin begins the wait for the answer to a commit, end ends it.
func (p *patience) begin() {
	if p != nil {
		p.ticks = 0
		p.waiting.Store(true)
	}
}

func (p *patience) end() {
	if p != nil {
		p.waiting.Store(false)
	}
}

// limitTo ends all waits but those for commits after d. 0 removes the limit.
func (p *patience) limitTo(d time.Duration) {
	switch {
	case p == nil:
	case d == 0:
		p.until.Store(0)
	default:
		p.until.Store(time.Now().Add(d).UnixNano())
	}
}
