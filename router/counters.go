package router

import "silod/mi"

// Counters returns the statistics of the router.
func (r *Router) Counters() []mi.Stat {
	st := &r.Stats
	return []mi.Stat{
		{Name: "registers", Help: "REGISTER requests.", Counter: &st.Registers},
		{Name: "messages", Help: "MESSAGE requests.", Counter: &st.Messages},
		{Name: "relayed", Help: "Messages that a device took at once.", Counter: &st.Relayed},
		{Name: "forwarded", Help: "Messages that another domain took.", Counter: &st.Forwarded},
		{Name: "stored", Help: "Messages that were stored.", Counter: &st.Stored},
		{Name: "dropped", Help: "Messages of passing interest whose recipient was offline.", Counter: &st.Dropped},
		{Name: "rejected", Help: "Messages refused.", Counter: &st.Rejected},
		{Name: "late_calls", Help: "Devices that are still waited for after their message was stored.", Gauge: func() int64 { return int64(len(r.lateForks)) }},
	}
}
