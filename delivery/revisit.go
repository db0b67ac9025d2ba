package delivery

import (
	"context"
	"time"

	"silod/sip"
)

const (
	// maxRecipients limits the recipients that are remembered while they wait for a retry. Others
	// are found again by Engine.revisit.
	maxRecipients = 50_000

	// revisitPause is the time between two owners that Engine.revisit wakes: after a restart all
	// of them would be tried at once.
	revisitPause = 10 * time.Millisecond
)

// WakeLater is Wake for an owner that is not known to be online but may be reached: the first
// try is made after the wait for a first retry, unless the owner is woken before.
func (q *Queue) WakeLater(a sip.AoR) {
	s := q.engine.scheduler
	if q.devices == nil {
		s.wakeLater(recipientKey{AoR: a}, q.bit)
		return
	}
	for _, device := range q.devices(a) {
		s.wakeLater(recipientKey{a, device}, q.bit)
	}
}

func (s *scheduler) wakeLater(k recipientKey, bits uint) { s.with(k, bits, (*recipient).wakeLater) }

func (s *scheduler) configure(set Settings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings = set
	s.missed = true // also at the start, and when a reload has made owners reachable
}

// takeMissed returns the time until the next look for missed recipients, and reports whether
// there may be some.
func (s *scheduler) takeMissed(first bool) (wait time.Duration, missed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if first {
		return s.settings.Retry, false
	}
	missed, s.missed = s.missed, false
	return s.settings.MaxRetry, missed
}

// revisit tries the owners that are reachable, have waiting items and are unknown: those from
// before a restart, and those above maxRecipients. It does so one after the other, and at
// most once in the longest wait between tries.
func (e *Engine) revisit(ctx context.Context) {
	if e.opt.Reachable == nil {
		return
	}
	wait, _ := e.scheduler.takeMissed(true)
	for sleep(ctx, wait) {
		var missed bool
		if wait, missed = e.scheduler.takeMissed(false); !missed {
			continue
		}
		for _, q := range e.queues {
			source, _ := q.sourceAndSender("")
			err := source.Waiting(ctx, func(a sip.AoR) {
				if ctx.Err() == nil && e.opt.Reachable(a) && !e.Pending(a) {
					q.Wake(a)
					sleep(ctx, revisitPause)
				}
			})
			if err != nil && ctx.Err() == nil {
				e.opt.Log.Warn("waiting recipients not read", "error", err)
				e.scheduler.miss()
			}
		}
	}
}

// miss notes that recipients with items may be unknown.
func (s *scheduler) miss() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missed = true
}

// sleep waits and reports whether ctx has not ended meanwhile.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
