package imc

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"silod/sip"
)

// errUnanswered is the error of a command that was carried out and of which the direct messages
// could not be stored.
var errUnanswered = errors.New("carried out, but the answer was not stored")

// unanswered has the direct messages of commands that ended with errUnanswered. If their senders
// repeat them soon, which 503 asks for, the messages are sent: a command that has been carried
// out would be refused, and would notify its caller only.
type unanswered struct {
	mu       sync.Mutex
	commands map[commandKey]lateMessages
}

// A commandKey is the hash of a command with its sender and its room.
type commandKey [sha256.Size]byte

type lateMessages struct {
	list    []directMessage
	expires time.Time
}

const (
	maxUnanswered  = 1_000
	unansweredLife = time.Minute // several times retryAfter
)

// add remembers the messages of a command. While too many are remembered, it does nothing.
func (u *unanswered) add(k commandKey, ms []directMessage, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.commands == nil {
		u.commands = make(map[commandKey]lateMessages)
	}
	if len(u.commands) >= maxUnanswered {
		maps.DeleteFunc(u.commands, func(_ commandKey, l lateMessages) bool { return !now.Before(l.expires) })
	}
	if len(u.commands) < maxUnanswered {
		u.commands[k] = lateMessages{ms, now.Add(unansweredLife)}
	}
}

// take returns the messages of a command and forgets them.
func (u *unanswered) take(k commandKey, now time.Time) []directMessage {
	u.mu.Lock()
	defer u.mu.Unlock()
	l, ok := u.commands[k]
	delete(u.commands, k)
	if !ok || !now.Before(l.expires) {
		return nil
	}
	return l.list
}

// key returns the key of a command.
func (c *invocation) key() commandKey {
	return sha256.Sum256([]byte(c.by.user.String() + "\n" + c.to.String() + "\n" + c.said))
}

// answer stores the direct messages of a command that has ended with err, and returns the error
// of the request. A refusal stands even if they cannot be stored: nothing was promised.
func (s *Service) answer(ctx context.Context, c *invocation, err error) error {
	var refused *refusal
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	if late := s.unanswered.take(c.key(), s.now()); len(late) > 0 { // it has been carried out before
		c.direct, err = late, nil
	}
	for ms := c.direct; len(ms) > 0; ms = c.direct { // added by failed
		c.direct = nil
		switch sendErr := s.sendAll(ctx, c, ms); {
		case sendErr == nil:
		case err != nil:
			s.stats.StoreErrors.Add(1)
			s.log.Warn("messages about a refused command not stored", slog.String("room", c.room.String()), slog.Any("error", sendErr))
			return err
		default:
			if c.access >= exclusive && !c.by.operator {
				s.unanswered.add(c.key(), ms, s.now())
			}
			return errors.Join(errUnanswered, sendErr)
		}
	}
	return err
}

// explain explains a refusal to the sender of a request. If that cannot be stored, only the
// answer explains it. So it is if the request has waited for the database already: the write, once
// begun, may take as long again.
func (s *Service) explain(ctx context.Context, to, from sip.AoR, cause, text string) {
	m := s.newDirect(from, to, cause, text)
	if s.IsRoom(to) || !s.mayNotify(to) {
		return
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) < storeTimeout*4/5 {
		return
	}
	m.Answer = true
	s.stats.Answers.Add(1)
	if err := s.sendAll(ctx, nil, []directMessage{m}); err != nil {
		s.stats.StoreErrors.Add(1)
		s.log.Warn("explanation not stored", slog.String("to", to.String()), slog.Any("error", err))
	}
}
