package transport

import "silod/mi"

// Stats are counters since the start.
type Stats struct {
	Limited                      mi.Counter // datagrams dropped because of SourceRate
	Slowed                       mi.Counter // messages of streams that waited because of SourceRate
	Connections, RefusedConnects mi.Counter // accepted or opened; refused because of MaxConnections
	LimitedConnects              mi.Counter // refused because of a limit of their source
	DisplacedConns, ExpiredConns mi.Counter // of strangers: closed to make room; because their time was over
	BytesReceived, BytesSent     mi.Counter
	DroppedSends                 mi.Counter // messages that could not be sent
	HeldBack                     mi.Counter // answers not sent, see Covers
}

// Counters returns the statistics of the layer, for the group "sip".
func (l *Layer) Counters() []mi.Stat {
	st := &l.Stats
	return []mi.Stat{
		{Name: "rate_limited", Help: "Messages over UDP dropped because their source exceeded its rate.", Counter: &st.Limited},
		{Name: "rate_slowed", Help: "Messages over connections that waited because their source exceeded its rate.", Counter: &st.Slowed},
		{Name: "held_back", Help: "Responses not sent because the source may be forged and they are larger than the request.", Counter: &st.HeldBack},
		{Name: "dropped_sends", Help: "Messages that could not be sent.", Counter: &st.DroppedSends},
		{Name: "connections", Help: "Open connections.", Gauge: func() int64 { return int64(l.conns.len()) }},
		{Name: "connections_total", Help: "Connections opened since the start.", Counter: &st.Connections},
		{Name: "connections_refused", Help: "Connections refused because too many were open.", Counter: &st.RefusedConnects},
		{Name: "connections_limited", Help: "Connections refused because their source had too many or opened them too fast.", Counter: &st.LimitedConnects},
		{Name: "connections_displaced", Help: "Connections without an authenticated request closed to make room.", Counter: &st.DisplacedConns},
		{Name: "connections_expired", Help: "Connections closed because no request over them was authenticated in time.", Counter: &st.ExpiredConns},
		{
			Name: "connections_unauthenticated", Help: "Open connections without an authenticated request.",
			Gauge: func() int64 { _, strangers := l.roster.count(); return int64(strangers) },
		},
		{Name: "bytes_received", Help: "Bytes received.", Counter: &st.BytesReceived},
		{Name: "bytes_sent", Help: "Bytes sent.", Counter: &st.BytesSent},
	}
}
