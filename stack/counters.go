package stack

import "silod/mi"

// Counters are the statistics of the stack by Kamailio's groups and names, those
// that kamctl monitor reads among them, and ours in the group "sip".
func (s *Stack) Counters() map[string][]mi.Stat {
	st := &s.Stats
	server := func() int64 { return int64(s.server.len()) }
	return map[string][]mi.Stat{
		"core": {
			{Name: "rcv_requests", Help: "Requests received.", Counter: &st.Requests},
			{Name: "rcv_replies", Help: "Responses received.", Counter: &st.Responses},
			{Name: "bad_msg_hdr", Help: "Requests answered as malformed.", Counter: &st.Malformed},
			{Name: "drop_requests", Help: "What was received and is not SIP.", Counter: &st.Noise},
			{Name: "err_requests", Help: "Requests refused with 503 because a limit was reached.", Counter: &st.Overload},
		},
		"sl": {
			{Name: "sent_replies", Help: "Answers sent.", Counter: &st.Replies},
			{Name: "sent_err_replies", Help: "Answers sent from 400 up.", Counter: &st.ErrorReplies},
			{Name: "received_ACKs", Help: "ACKs received.", Counter: &st.ACKs},
		},
		"tmx": {
			{Name: "UAS_transactions", Help: "Server transactions since the start.", Counter: &st.ServerTransactions},
			{Name: "UAC_transactions", Help: "Client transactions since the start.", Counter: &st.Calls},
			{
				Name: "inuse_transactions", Help: "Transactions that are remembered now.",
				Gauge: func() int64 { return server() + s.client.live.Load() },
			},
		},
		"sip": {
			{Name: "retransmissions", Help: "Requests received again and answered from memory.", Counter: &st.Retransmissions},
			{Name: "stray_responses", Help: "Responses that belong to no request of ours.", Counter: &st.Stray},
			{Name: "rate_limited", Help: "Messages dropped because their source sent too many.", Counter: &st.Limited},
			{Name: "held_back", Help: "Answers not sent to sources that may be forged, being larger than the request.", Counter: &st.HeldBack},
			{Name: "dropped_sends", Help: "Messages that the network did not take.", Counter: &st.DroppedSends},
			{Name: "handlers", Help: "Requests being worked on now.", Gauge: func() int64 { return s.working.Load() }},
			{Name: "connections", Help: "Streams open now.", Gauge: func() int64 { return int64(s.conns.len()) }},
			{Name: "connections_total", Help: "Streams opened since the start.", Counter: &st.Connections},
			{Name: "connections_refused", Help: "Streams refused because a limit was reached.", Counter: &st.RefusedConnects},
			{Name: "bytes_received", Help: "Bytes received.", Counter: &st.BytesReceived},
			{Name: "bytes_sent", Help: "Bytes sent.", Counter: &st.BytesSent},
		},
	}
}

// Received is how many messages have come so far.
func (s *Stack) Received() int64 { return s.Stats.Requests.Value() + s.Stats.Responses.Value() }
