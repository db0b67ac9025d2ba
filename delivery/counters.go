package delivery

import "silod/mi"

// Counters returns the engine's statistics.
func (e *Engine) Counters() []mi.Stat {
	return []mi.Stat{
		{Name: "delivered", Help: "Queued messages delivered.", Counter: &e.Delivered},
		{Name: "refused", Help: "Queued messages refused for good.", Counter: &e.Refused},
		{Name: "failed", Help: "Attempts that came to nothing for now.", Counter: &e.Failed},
		{Name: "recipients", Help: "Recipients who are being served or tried again.", Gauge: func() int64 { return int64(e.Active()) }},
		{Name: "workers", Help: "Recipients who are being served now.", Gauge: func() int64 { return int64(len(e.workers.busy)) }},
	}
}
