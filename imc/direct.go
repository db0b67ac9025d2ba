package imc

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"silod/im"
	"silod/sip"
)

// A directMessage is a message from a room, or from the manager, to one user.
type directMessage struct {
	im.Message
	failed func(error) // called when the message could not be sent; may be nil
}

// A directQueue sends direct messages. It does so after the request has been answered,
// because some clients answer a MESSAGE only when their own has been answered. Messages
// for the same user are sent in order and one at a time (RFC 3428 section 8); users do
// not wait for each other.
type directQueue struct {
	outbox Outbox

	mu     sync.Mutex
	queues map[sip.AoR][]directMessage // by recipient; an entry exists while a worker or work has the recipient
	queued int
	work   chan sip.AoR // recipients that no worker has taken yet
}

// Limits of a directQueue.
const (
	directWorkers = 32
	directLimit   = 10_000           // messages that may wait before requests are refused
	directSlack   = 1_000            // messages that requests under way may add
	directTimeout = 40 * time.Second // for one message: longer than a transaction lasts
)

func newDirectQueue(o Outbox) *directQueue {
	return &directQueue{
		outbox: o,
		queues: make(map[sip.AoR][]directMessage),
		work:   make(chan sip.AoR, directLimit+directSlack),
	}
}

// full reports whether new requests must be refused.
func (q *directQueue) full() bool {
	return q.waiting() >= directLimit
}

// add queues a message and reports whether there was space for it. It never blocks.
func (q *directQueue) add(to sip.AoR, m directMessage) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.queued >= directLimit+directSlack {
		return false
	}
	q.queued++
	list, taken := q.queues[to]
	q.queues[to] = append(list, m)
	if !taken {
		q.work <- to // does not block: there are no more recipients than messages
	}
	return true
}

// run sends messages until ctx ends.
func (q *directQueue) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case to := <-q.work:
			q.sendNext(ctx, to)
		}
	}
}

// sendNext sends one message to a recipient and queues the recipient again if there
// are more, so that a long list for one does not delay the others.
func (q *directQueue) sendNext(ctx context.Context, to sip.AoR) {
	q.mu.Lock()
	m := q.queues[to][0]
	q.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, directTimeout)
	err := q.outbox.Send(ctx, to, m.Message)
	cancel()
	if err != nil && m.failed != nil {
		m.failed(err)
	}

	q.mu.Lock()
	defer q.mu.Unlock()
	q.queued--
	if list := q.queues[to]; len(list) > 1 {
		q.queues[to] = list[1:]
		q.work <- to
	} else {
		delete(q.queues, to)
	}
}

// waiting returns the number of messages that are queued or being sent.
func (q *directQueue) waiting() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return int64(q.queued)
}

// drain waits until all messages are sent or ctx ends. It polls, because it is used
// only once, when the daemon stops.
func (q *directQueue) drain(ctx context.Context) {
	for q.waiting() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// notifyUser sends a direct message for each of bodies; cause is the Call-ID of the
// request that led to them.
func (s *Service) notifyUser(to, from sip.AoR, cause string, bodies ...string) {
	for _, b := range bodies {
		s.sendDirect(to, directMessage{Message: s.newDirect(from, to, cause, b)})
	}
}

// notifyOther is notifyUser for a user that has not sent the request. One that blocks the room gets
// nothing.
func (s *Service) notifyOther(to, from sip.AoR, cause, body string) {
	if !s.blocks.has(to, from) {
		s.notifyUser(to, from, cause, body)
	}
}

// notifyCaller sends a text to the caller of a command. An operator sees the result of
// the management command instead.
func (s *Service) notifyCaller(c *invocation, r *room, key textKey, a ...string) {
	if !c.by.operator {
		s.notifyUser(c.by.user, r.name, c.by.callID, s.text(key, r.name, a...))
	}
}

// sendDirect queues a direct message. Messages to rooms are dropped, and those to addresses of other
// domains to which rooms may not send.
func (s *Service) sendDirect(to sip.AoR, m directMessage) {
	failed := m.failed
	m.failed = func(err error) {
		s.stats.AnswersFailed.Add(1)
		s.log.Warn("direct message not sent", slog.String("to", to.String()),
			slog.String("call_id", m.CallID), slog.Any("error", err))
		if failed != nil {
			failed(err)
		}
	}
	if s.IsRoom(to) || !s.mayNotify(to) {
		return
	}
	s.stats.Answers.Add(1)
	if !s.direct.add(to, m) {
		m.failed(errors.New("too many messages are waiting"))
	}
}

// newDirect returns a message from a room or from the manager to one user; cause is
// the Call-ID of the request that led to it, or "".
func (s *Service) newDirect(from, to sip.AoR, cause, body string) im.Message {
	m := im.Message{
		From:    "<" + from.String() + ">;tag=" + rand.Text()[:12],
		To:      "<" + to.String() + ">",
		CallID:  rand.Text() + "@" + from.Domain,
		CSeq:    1,
		Headers: []sip.Header{plainText, {Name: SpeakerField, Value: noticeOf(from)}},
		Body:    []byte(body),
	}
	if cause != "" {
		m.Headers = append(m.Headers, sip.Header{Name: "In-Reply-To", Value: cause})
	}
	m.Headers = append(m.Headers, s.settings().headers...)
	return m
}

// plainText is the Content-Type of texts that rooms write. The charset of text in
// SIP is UTF-8 unless another is named (RFC 3261 section 7.4.1).
var plainText = sip.Header{Name: "Content-Type", Value: "text/plain"}
