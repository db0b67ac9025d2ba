package delivery

import "silod/mi"

// Counters returns the engine's statistics.
func (e *Engine) Counters() []mi.Stat {
	workers := func() int64 { busy, _ := e.scheduler.numbers(); return int64(busy) }
	late := func() int64 { _, late := e.scheduler.numbers(); return int64(late) }
	return []mi.Stat{
		{Name: "delivered", Help: "Queued messages delivered.", Counter: &e.Delivered},
		{Name: "refused", Help: "Queued messages refused permanently.", Counter: &e.Refused},
		{Name: "failed", Help: "Attempts that failed temporarily.", Counter: &e.Failed},
		{Name: "recipients", Help: "Recipients with a delivery in progress or a retry pending.", Gauge: func() int64 { return int64(e.Active()) }},
		{Name: "workers", Help: "Recipients with a delivery in progress.", Gauge: workers},
		{Name: "late_workers", Help: "Recipients with a delivery in progress that do not answer, or answer late.", Gauge: late},
	}
}
