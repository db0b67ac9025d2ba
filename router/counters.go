package router

import "silod/mi"

// Counters returns the statistics of the router.
func (r *Router) Counters() []mi.Stat {
	st := &r.Stats
	return []mi.Stat{
		{Name: "registers", Help: "REGISTER requests.", Counter: &st.Registers},
		{Name: "messages", Help: "MESSAGE requests.", Counter: &st.Messages},
		{Name: "relayed", Help: "Messages accepted immediately by a device.", Counter: &st.Relayed},
		{Name: "forwarded", Help: "Messages accepted by another domain.", Counter: &st.Forwarded},
		{Name: "stored", Help: "Messages stored.", Counter: &st.Stored},
		{Name: "dropped", Help: "Messages not kept for later, dropped because the recipient was offline.", Counter: &st.Dropped},
		{Name: "rejected", Help: "Messages refused.", Counter: &st.Rejected},
		{Name: "late_calls", Help: "Devices whose response is awaited after the message was stored.", Gauge: func() int64 { return int64(len(r.lateForks)) }},
	}
}
