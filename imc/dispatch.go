package imc

import (
	"context"
	"errors"

	"silod/sip"
)

// An actor is the caller of a command: a user, or an operator, which has no address and
// may do everything.
type actor struct {
	user      sip.AoR
	account   sip.AoR // Request.Account
	mayCreate bool    // rooms
	mayRelay  bool    // Request.MayRelay
	unproven  bool    // Request.Unproven
	callID    string  // of the request
	operator  bool
}

// runCommand carries out a # command; line is without the start character. It returns
// the code that imc_manager returns for an error.
func (s *Service) runCommand(ctx context.Context, req *Request, line string) (int, error) {
	c, refused := s.parse(req, line)
	switch {
	case c != nil && refused != nil:
		return c.code, refused
	case refused != nil && (refused.text == "unknown" || refused.text == "mistyped"):
		return codeUnknown, refused
	case refused != nil:
		return codeBadCommand, refused
	}
	c.said = line
	if err := s.execute(ctx, c); err != nil {
		return c.code, err
	}
	s.stats.Commands.Add(1)
	return codeDone, nil
}

// errRetry is returned by a command that must be executed again from the start.
var errRetry = errors.New("execute the command again")

// execute carries out a parsed command. When it returns nil, the messages to single users that
// the command has led to are stored.
func (s *Service) execute(ctx context.Context, c *invocation) error {
	return s.answer(ctx, c, s.perform(ctx, c))
}

func (s *Service) perform(ctx context.Context, c *invocation) error {
	if c.access == noRoom {
		return c.run(s, ctx, c, nil)
	}
	for {
		if c.sanctions {
			if err := s.findAddresses(ctx, c); err != nil {
				return err
			}
		}
		if err := s.executeLocked(ctx, c); !errors.Is(err, errRetry) {
			return err
		}
	}
}

// executeLocked carries out a command under the room's state lock.
func (s *Service) executeLocked(ctx context.Context, c *invocation) error {
	if !c.by.operator {
		if !s.busy.Enter(c.room) {
			return errCrowded
		}
		defer s.busy.Leave(c.room)
	}
	lock := c.access
	if lock == unlocked {
		lock = shared
	}
	r := s.lockRoom(c.room, lock)
	if r == nil {
		return refuse("no_room").in(c.room)
	}
	err := inTime(ctx)
	if err == nil && lock != shared {
		err = s.endSanctions(ctx, r)
	}
	if err == nil {
		err = s.admit(c, r)
	}
	if err == nil && c.sanctions {
		err = s.findTarget(c, r)
	}
	if err == nil && c.access != unlocked {
		err = c.run(s, ctx, c, r)
	}
	s.unlockRoom(r, lock)
	if err == nil && c.access == unlocked {
		err = c.run(s, ctx, c, r)
	}
	return err
}

// admit checks the role of the caller, which it marks as seen.
func (s *Service) admit(c *invocation, r *room) error {
	if c.access != creating && c.hides(r) {
		return refuse("no_room").in(c.room)
	}
	if err := s.checkRole(c, r); err != nil {
		return err
	}
	if m := r.find(c.by.user); m.joined() {
		r.mu.Lock()
		s.markSeen(r, m)
		r.mu.Unlock()
	}
	return nil
}

// checkRole returns a refusal unless the caller has the role that the command needs, and may
// speak if the command carries a text. A muted admin has the rights of a plain member.
func (s *Service) checkRole(c *invocation, r *room) error {
	if c.by.operator {
		return nil
	}
	m, account, now := r.find(c.by.user), r.find(c.by.account), s.now()
	switch {
	case c.hides(r): // creating: see refuseOutsider
		return nil
	case account.isBannedAt(now) && c.name != "exit":
		return s.banRefusal(r, account)
	case c.command.role == anyone:
		return nil
	case m.isBannedAt(now):
		return s.banRefusal(r, m)
	case !m.joined():
		return refuse("not_member").in(r.name)
	}
	why := speech(&r.Room, m, account, now)
	switch {
	case m.Role < c.command.role && c.command.role == Owner:
		return refuse("owner_only").in(r.name)
	case m.Role < c.command.role:
		return refuse("admins_only").in(r.name)
	case why == muted && c.command.role == Admin, why != maySpeak && c.command.speaks:
		return s.checkSpeech(r, c.by.user, c.by.account, "muted_command")
	}
	return nil
}
