package delivery

import "silod/mi"

// Counters returns the engine's statistics.
func (e *Engine) Counters() []mi.Stat {
	return []mi.Stat{
		{Name: "delivered", Help: "Queued messages delivered.", Counter: &e.Delivered},
		{Name: "refused", Help: "Queued messages refused permanently.", Counter: &e.Refused},
		{Name: "failed", Help: "Attempts that failed temporarily.", Counter: &e.Failed},
		{Name: "recipients", Help: "Recipients with a delivery in progress or a retry pending.", Gauge: func() int64 { return int64(e.Active()) }},
		{Name: "workers", Help: "Recipients with a delivery in progress.", Gauge: func() int64 { return int64(len(e.workers.busy)) }},
	}
}
