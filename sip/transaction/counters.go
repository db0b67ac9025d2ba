package transaction

import "silod/mi"

// Stats count since the start.
type Stats struct {
	Requests, Responses                    mi.Counter // received, well formed
	Retransmissions                        mi.Counter // of requests
	ACKs                                   mi.Counter
	Malformed, Noise                       mi.Counter // received: answered 400; not SIP
	Replies, ErrorReplies                  mi.Counter // sent: all; those from 400 up
	Overload                               mi.Counter // requests refused with 503 by a bound of ours
	ServerTransactions, ClientTransactions mi.Counter // begun
	Stray                                  mi.Counter // responses that belong to no client transaction
}

// Counters returns the statistics of the layer by Kamailio's groups and names, among them
// those that kamctl monitor reads, and ours in the group "sip".
func (l *Layer) Counters() map[string][]mi.Stat {
	st := &l.Stats
	server := func() int64 { return int64(l.server.len()) }
	return map[string][]mi.Stat{
		"core": {
			{Name: "rcv_requests", Help: "Requests received.", Counter: &st.Requests},
			{Name: "rcv_replies", Help: "Responses received.", Counter: &st.Responses},
			{Name: "bad_msg_hdr", Help: "Malformed requests answered with an error.", Counter: &st.Malformed},
			{Name: "drop_requests", Help: "Packets that are not SIP.", Counter: &st.Noise},
			{Name: "err_requests", Help: "Requests refused with 503 because a limit was reached.", Counter: &st.Overload},
		},
		"sl": {
			{Name: "sent_replies", Help: "Responses sent.", Counter: &st.Replies},
			{Name: "sent_err_replies", Help: "Responses sent with a status of 400 or higher.", Counter: &st.ErrorReplies},
			{Name: "received_ACKs", Help: "ACKs received.", Counter: &st.ACKs},
		},
		"tmx": {
			{Name: "UAS_transactions", Help: "Server transactions since the start.", Counter: &st.ServerTransactions},
			{Name: "UAC_transactions", Help: "Client transactions since the start.", Counter: &st.ClientTransactions},
			{
				Name: "inuse_transactions", Help: "Current transactions.",
				Gauge: func() int64 { return server() + l.client.live.Load() },
			},
		},
		"sip": {
			{Name: "retransmissions", Help: "Retransmitted requests, answered with the stored response.", Counter: &st.Retransmissions},
			{Name: "stray_responses", Help: "Responses that match no request.", Counter: &st.Stray},
			{Name: "handlers", Help: "Requests in progress.", Gauge: func() int64 { return l.working.Load() }},
		},
	}
}

// Received returns the number of messages received since the start.
func (l *Layer) Received() int64 { return l.Stats.Requests.Value() + l.Stats.Responses.Value() }
