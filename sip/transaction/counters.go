package transaction

import "silod/mi"

// Stats are counters since the start.
type Stats struct {
	Requests, Responses                    mi.Counter // received and well-formed
	Retransmissions                        mi.Counter // of requests
	ACKs                                   mi.Counter
	Malformed, NotSIP                      mi.Counter // received: malformed requests; other messages without an answer
	Replies, ErrorReplies                  mi.Counter // sent: all; those with a status of at least 400
	Overload                               mi.Counter // requests answered 503 because of a limit
	ServerTransactions, ClientTransactions mi.Counter // created
	Stray                                  mi.Counter // responses without a client transaction
}

// Counters returns the statistics of the layer, by group. Kamailio's groups and names
// include those that kamctl monitor reads. Statistics that Kamailio does not have are in
// the group "sip".
func (l *Layer) Counters() map[string][]mi.Stat {
	st := &l.Stats
	server := func() int64 { return int64(l.server.len()) }
	return map[string][]mi.Stat{
		"core": {
			{Name: "rcv_requests", Help: "Requests received.", Counter: &st.Requests},
			{Name: "rcv_replies", Help: "Responses received.", Counter: &st.Responses},
			{Name: "bad_msg_hdr", Help: "Malformed requests answered with an error.", Counter: &st.Malformed},
			{Name: "drop_requests", Help: "Packets that are not SIP.", Counter: &st.NotSIP},
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
