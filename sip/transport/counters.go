package transport

import "silod/mi"

// Stats are counters since the start.
type Stats struct {
	Limited                      mi.Counter // messages dropped because of SourceRate
	Connections, RefusedConnects mi.Counter // accepted or opened; refused because of MaxConnections
	BytesReceived, BytesSent     mi.Counter
	DroppedSends                 mi.Counter // messages that could not be sent
	HeldBack                     mi.Counter // answers not sent, see Covers
}

// Counters returns the statistics of the layer, for the group "sip".
func (l *Layer) Counters() []mi.Stat {
	st := &l.Stats
	return []mi.Stat{
		{Name: "rate_limited", Help: "Messages dropped because their source exceeded its rate.", Counter: &st.Limited},
		{Name: "held_back", Help: "Responses not sent because the source may be forged and they are larger than the request.", Counter: &st.HeldBack},
		{Name: "dropped_sends", Help: "Messages that could not be sent.", Counter: &st.DroppedSends},
		{Name: "connections", Help: "Open connections.", Gauge: func() int64 { return int64(l.conns.len()) }},
		{Name: "connections_total", Help: "Connections opened since the start.", Counter: &st.Connections},
		{Name: "connections_refused", Help: "Connections refused because a limit was reached.", Counter: &st.RefusedConnects},
		{Name: "bytes_received", Help: "Bytes received.", Counter: &st.BytesReceived},
		{Name: "bytes_sent", Help: "Bytes sent.", Counter: &st.BytesSent},
	}
}
