package imc

import (
	"context"
	"errors"

	"silod/sip"
)

// actor is who asks for something: the sender of a command, or an operator, who
// may do everything and has no address.
type actor struct {
	user     sip.AoR
	call     string // Call-ID of the request
	operator bool
}

// command carries a # command out. It returns the code that imc_manager would
// return for an error.
func (s *Service) command(ctx context.Context, req *Request, text string) (int, error) {
	c, no := s.parse(req, text)
	switch {
	case c != nil && no != nil:
		return c.code, no
	case no != nil && no.text == "unknown":
		return codeUnknown, no
	case no != nil:
		return codeBadCommand, no
	}
	if err := s.perform(ctx, c); err != nil {
		return c.code, err
	}
	s.stats.Commands.Add(1)
	return codeDone, nil
}

// errAgain is what a command returns that has cleared its way and must start anew.
var errAgain = errors.New("start again")

// perform carries out a command for whoever asks.
func (s *Service) perform(ctx context.Context, c *call) error {
	if c.access == without {
		return c.run(s, ctx, c, nil)
	}
	for {
		if err := s.attempt(ctx, c); !errors.Is(err, errAgain) {
			return err
		}
	}
}

// attempt carries out a command under the room's step lock.
func (s *Service) attempt(ctx context.Context, c *call) error {
	r := s.hold(c.room, c.access)
	if r == nil {
		return refuse("no_room").in(c.room)
	}
	defer s.release(r, c.access)
	if err := c.allowed(r); err != nil {
		return err
	}
	if m := r.index[c.by.user]; m.seated() {
		r.mu.Lock()
		s.seen(r, m)
		r.mu.Unlock()
	}
	return c.run(s, ctx, c, r)
}

// allowed checks the caller's role.
func (c *call) allowed(r *room) error {
	if c.by.operator || c.command.role == anyone {
		return nil
	}
	m := r.index[c.by.user]
	switch {
	case m != nil && m.Role == Banned:
		return refuse("you_banned").in(r.name)
	case !m.seated():
		return refuse("not_member").in(r.name)
	case m.Role >= c.command.role:
		return nil
	case c.command.role == Owner:
		return refuse("owner_only").in(r.name)
	}
	return refuse("admins_only").in(r.name)
}

// hold finds a room and takes its step lock as access asks for. It gives nil where
// there is none; for creating it gives a new one, which is not made yet.
func (s *Service) hold(name sip.AoR, a access) *room {
	for {
		r := s.find(name, a == creating)
		if r == nil {
			return nil
		}
		if a == shared {
			r.step.RLock()
		} else {
			r.step.Lock()
		}
		away := r.gone || r.AoR != name
		if !away && (r.exists() || a == creating) {
			return r
		}
		s.release(r, a)
		if !away {
			return nil
		}
	}
}

// find looks a name up; with add it is added where it is missing.
func (s *Service) find(name sip.AoR, add bool) *room {
	s.mu.RLock()
	r := s.rooms[name]
	s.mu.RUnlock()
	if r != nil || !add {
		return r
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r = s.rooms[name]; r == nil { // nobody else was quicker
		r = newRoom(name)
		s.rooms[name] = r
	}
	return r
}

// release gives the step lock back, and the name where no room came of it.
func (s *Service) release(r *room, a access) {
	if a == shared {
		r.step.RUnlock()
		return
	}
	if !r.made && !r.gone {
		s.drop(r)
	}
	r.step.Unlock()
}

// drop takes a room out of the map. The caller holds r.step exclusively.
func (s *Service) drop(r *room) {
	r.gone = true
	s.mu.Lock()
	delete(s.rooms, r.AoR)
	s.mu.Unlock()
}

// storing bounds the time of a call of the store.
func storing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, storeTime)
}
