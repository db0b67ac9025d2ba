package imc

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"

	"silod/im"
	"silod/sip"
)

// A directMessage is a message from a room, or from the manager, to one user.
type directMessage struct {
	im.Outgoing
	failed func(*invocation) // called with the command when the message will never be sent; may be nil
}

// notifyUser adds a direct message for each of bodies to those of a command.
func (s *Service) notifyUser(c *invocation, to, from sip.AoR, bodies ...string) {
	for _, b := range bodies {
		s.sendDirect(c, s.newDirect(from, to, c.by.callID, b))
	}
}

// notifyOther is notifyUser for a user that has not sent the request. One that blocks the room gets
// nothing.
func (s *Service) notifyOther(c *invocation, to, from sip.AoR, body string) {
	if !s.blocks.has(to, from) {
		s.notifyUser(c, to, from, body)
	}
}

// notifyCaller sends a text to the caller of a command. An operator sees the result of
// the management command instead.
func (s *Service) notifyCaller(c *invocation, r *room, key textKey, a ...string) {
	if !c.by.operator {
		s.notifyUser(c, c.by.user, r.name, s.text(key, r.name, a...))
	}
}

// sendDirect adds a direct message to those of a command, which are sent when the command has
// released the room. Messages to rooms are dropped, and those to addresses of other domains to
// which rooms may not send.
func (s *Service) sendDirect(c *invocation, m directMessage) {
	if s.IsRoom(m.To) || !s.mayNotify(m.To) {
		return
	}
	s.stats.Answers.Add(1)
	m.Answer = m.To == c.by.user
	c.direct = append(c.direct, m)
}

// sendAll gives direct messages to the Outbox, in one commit. They are stored before the request
// is answered, and sent without waiting for the recipients: some clients answer a MESSAGE only
// when their own has been answered. An error says that none is stored. c may be nil for messages
// without failed.
func (s *Service) sendAll(ctx context.Context, c *invocation, ms []directMessage) error {
	if len(ms) == 0 {
		return nil
	}
	s.sending.Add(int64(len(ms)))
	defer s.sending.Add(-int64(len(ms)))
	list := make([]im.Outgoing, len(ms))
	for i := range ms {
		list[i] = ms[i].Outgoing
	}
	refused, err := s.outbox.Send(ctx, list)
	if err != nil {
		return fmt.Errorf("store direct messages: %w", err)
	}
	for i, err := range refused {
		if err == nil {
			continue
		}
		s.stats.AnswersFailed.Add(1)
		s.log.Warn("direct message not sent", slog.String("to", ms[i].To.String()),
			slog.String("call_id", ms[i].CallID), slog.Any("error", err))
		if ms[i].failed != nil {
			ms[i].failed(c)
		}
	}
	return nil
}

// newDirect returns a message from a room or from the manager to one user; cause is
// the Call-ID of the request that led to it, or "".
func (s *Service) newDirect(from, to sip.AoR, cause, body string) directMessage {
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
	return directMessage{Outgoing: im.Outgoing{To: to, Message: m}}
}

// plainText is the Content-Type of texts that rooms write. The charset of text in
// SIP is UTF-8 unless another is named (RFC 3261 section 7.4.1).
var plainText = sip.Header{Name: "Content-Type", Value: "text/plain"}
