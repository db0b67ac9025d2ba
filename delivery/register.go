package delivery

import "time"

// A register remembers the waits for a retry that a REGISTER has ended. The first one ends at
// once: the device is back. If it fails again, the next wait is not ended before a time that
// doubles, so that a client that registers every second is not sent everything every second.
type register struct {
	ended   int       // waits, since the last success
	last    time.Time // when
	noLater time.Time // a REGISTER came too early: the wait in progress, or the next one, ends then
}

// maxEnded limits the doubling.
const maxEnded = 4

// allow reports whether a REGISTER ends a wait now.
func (g *register) allow(now time.Time, first, most time.Duration) bool {
	if g.ended > 0 {
		if next := g.last.Add(min(first<<(g.ended-1), most)); now.Before(next) {
			g.noLater = next
			return false
		}
	}
	g.ended, g.last, g.noLater = min(g.ended+1, maxEnded), now, time.Time{}
	return true
}

// shorten returns the length of a wait that begins.
func (g *register) shorten(d time.Duration) time.Duration {
	if !g.noLater.IsZero() {
		d = min(d, max(time.Until(g.noLater), 0))
		g.noLater = time.Time{}
	}
	return d
}

// news is wake after a REGISTER: it ends a wait for a retry.
func (s *scheduler) news(k recipientKey, bits uint) {
	s.with(k, bits, func(r *recipient, bits uint) action {
		if r.state == working || r.state == waiting && r.signs.failing {
			if !r.register.allow(time.Now(), s.settings.Retry, s.settings.MaxRetry) {
				r.add(bits)
				if r.state == waiting && r.register.noLater.Before(r.dueAt) {
					s.startTimer(r, r.register.shorten(s.settings.MaxRetry))
				}
				return none
			}
		}
		return r.news(bits)
	})
}

// newsIfKnown is news for those recipients for which items may wait.
func (s *scheduler) newsIfKnown(keys []recipientKey) {
	for _, k := range keys {
		if s.known([]recipientKey{k}) {
			s.news(k, 0)
		}
	}
}
