package transaction

import "time"

// tryingTime is the time after which a request over UDP that has no final answer is answered
// 100: a client transaction's Timer E has then reached T2, and the 100 makes the client
// retransmit at that interval. RFC 4320 section 4.1 forbids an earlier 100.
const tryingTime = timerT1 + 2*timerT1 + 4*timerT1

// An unansweredTx is a transaction that will be answered 100 at a time.
type unansweredTx struct {
	tx *ServerTx
	at time.Time
}

// await adds a transaction to those that may need a 100. The lock of the shard is held.
func (s *serverShard) await(tx *ServerTx) {
	tx.place = int32(len(s.unanswered))
	s.unanswered = append(s.unanswered, unansweredTx{tx, tx.Received.Add(tryingTime)})
	tx.awaited = true
}

// answered removes a transaction that await has added. The lock of the shard is held.
func (s *serverShard) answered(tx *ServerTx) {
	if !tx.awaited {
		return
	}
	tx.awaited = false
	last := len(s.unanswered) - 1
	moved := s.unanswered[last]
	s.unanswered[tx.place] = moved
	moved.tx.place = tx.place
	s.unanswered[last] = unansweredTx{}
	s.unanswered = s.unanswered[:last]
}

// trying returns the transactions to be answered 100 now. Each is returned once, and a
// retransmission of its request gets the 100 again until there is a final answer.
func (t *serverTable) trying(now time.Time) (due []*ServerTx) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for j := 0; j < len(s.unanswered); {
			if u := s.unanswered[j]; !now.Before(u.at) {
				s.outcomes[u.tx.id.key] = 100
				s.answered(u.tx) // the last one takes its place
				due = append(due, u.tx)
				continue
			}
			j++
		}
		s.mu.Unlock()
	}
	return due
}

// sendTrying answers 100 to the requests that have been served for tryingTime.
func (l *Layer) sendTrying() {
	for _, tx := range l.server.trying(time.Now()) {
		if tx.answered.Load() != nil {
			continue
		}
		l.Stats.Replies.Inc()
		flow := tx.Flow
		flow.Remote = tx.replyTo()
		_ = l.transport.Send(flow, plainAnswer(100).appendTo(nil, tx)) // the client's retransmission gets it again
	}
}
