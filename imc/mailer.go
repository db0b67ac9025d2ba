package imc

import (
	"context"
	"sync"
	"time"

	"silod/im"
	"silod/sip"
)

// mailer sends what concerns one person only: answers, refusals, invitations. It
// works behind the requests, because some clients answer a MESSAGE only after their
// own was answered. Letters for one person go out in order, one at a time (RFC 3428
// section 8); people do not wait for each other.
type mailer struct {
	outbox Outbox

	mu     sync.Mutex
	queues map[sip.AoR][]letter // by recipient; present while a worker has the recipient
	queued int
	work   chan sip.AoR // recipients whose letters no worker has taken yet
}

// letter is a message on its way. failed, where set, is told why it did not arrive.
type letter struct {
	message im.Message
	failed  func(error)
}

const (
	mailWorkers = 32
	mailQueued  = 10_000           // letters waiting; requests are refused above this
	mailSlack   = 1_000            // what requests under way may add
	mailTime    = 40 * time.Second // for one letter: longer than a transaction lasts
)

func newMailer(o Outbox) *mailer {
	return &mailer{
		outbox: o,
		queues: make(map[sip.AoR][]letter),
		work:   make(chan sip.AoR, mailQueued+mailSlack),
	}
}

// full tells whether no request should be taken now.
func (m *mailer) full() bool {
	return m.waiting() >= mailQueued
}

// post queues a letter, and tells whether there was room for it. It never blocks.
func (m *mailer) post(to sip.AoR, l letter) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.queued >= mailQueued+mailSlack {
		return false
	}
	m.queued++
	q, taken := m.queues[to]
	m.queues[to] = append(q, l)
	if !taken {
		m.work <- to // has room: there are no more recipients than letters
	}
	return true
}

// run sends until ctx ends.
func (m *mailer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case to := <-m.work:
			m.serve(ctx, to)
		}
	}
}

// serve sends one letter and queues its recipient again where there are more, so
// that a long list for one does not hold up the others.
func (m *mailer) serve(ctx context.Context, to sip.AoR) {
	m.mu.Lock()
	l := m.queues[to][0]
	m.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, mailTime)
	err := m.outbox.Send(ctx, to, l.message)
	cancel()
	if err != nil && l.failed != nil {
		l.failed(err)
	}

	m.mu.Lock()
	defer m.mu.Unlock()
	m.queued--
	if q := m.queues[to]; len(q) > 1 {
		m.queues[to] = q[1:]
		m.work <- to
	} else {
		delete(m.queues, to)
	}
}

// waiting counts the letters that are on their way.
func (m *mailer) waiting() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(m.queued)
}

// drain waits until everything is sent, or ctx ends. It is used once, when the
// daemon stops, so that it may look from time to time.
func (m *mailer) drain(ctx context.Context) {
	for m.waiting() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}
