package imc

import (
	"context"
	"errors"
	"slices"
	"strings"

	"silod/address"
)

// anyone is the role of a command that needs none.
const anyone Role = -1

// access is how a command uses a room.
type access int

const (
	without   access = iota // it is about no room
	shared                  // it reads
	exclusive               // it changes the room
	creating                // it changes the room, or makes it
)

// command is one # command, or one form of one. Parsing, permissions and #help
// come from here.
type command struct {
	name    string
	aliases []string
	params  []param
	role    Role // the least that may use it
	access  access
	code    int // what imc_manager returns where it fails
	help    string
	run     func(*Service, context.Context, *call, *room) error
}

// commands is the table of # commands, in the order of #help. Forms of one
// command stand together; the first that fits is meant.
var commands = []*command{
	{
		name: "create", params: []param{roomParam, privateParam}, role: anyone, access: creating, code: -30,
		help: "makes a room, which you then own; a private one is entered by invitation only",
		run:  (*Service).create,
	}, {
		name: "join", params: []param{roomParam}, role: anyone, access: creating, code: -40,
		help: "enters a room",
		run:  (*Service).join,
	}, {
		name: "invite", params: []param{userParam, roomParam}, role: Admin, access: exclusive, code: -50,
		help: "asks somebody to come in",
		run:  (*Service).invite,
	}, {
		name: "add", params: []param{userParam, roomParam}, role: Admin, access: exclusive, code: -50,
		help: "brings somebody in without asking",
		run:  (*Service).join,
	}, {
		name: "accept", params: []param{roomParam}, role: anyone, access: exclusive, code: -60,
		help: "accepts an invitation",
		run:  (*Service).accept,
	}, {
		name: "deny", aliases: []string{"reject"}, params: []param{roomParam}, role: anyone, access: exclusive, code: -70,
		help: "declines an invitation",
		run:  (*Service).deny,
	}, {
		name: "remove", params: []param{userParam, roomParam}, role: Admin, access: exclusive, code: -80,
		help: "takes somebody out of the room",
		run:  (*Service).remove,
	}, {
		name: "exit", aliases: []string{"leave"}, params: []param{roomParam}, role: Plain, access: exclusive, code: -90,
		help: "leaves the room",
		run:  (*Service).exit,
	}, {
		name: "list", aliases: []string{"members"}, params: []param{roomParam}, role: Plain, access: shared, code: -100,
		help: "shows who is in the room: * owner, ~ admin",
		run:  (*Service).list,
	}, {
		name: "rooms", role: anyone, code: -100,
		help: "shows the rooms that you can see",
		run:  (*Service).listRooms,
	}, {
		name: "destroy", params: []param{roomParam}, role: Owner, access: exclusive, code: -110,
		help: "ends the room",
		run:  (*Service).destroy,
	}, {
		name: "modify", params: []param{userParam, roleParam, roomParam}, role: Admin, access: exclusive, code: -120,
		help: "gives a member another role; a new owner takes the place of the old one",
		run:  (*Service).modify,
	}, {
		name: "topic", params: []param{leadRoom, textParam}, role: Admin, access: exclusive, code: codeMessage,
		help: "sets what the room is about; - removes it",
		run:  (*Service).setTopic,
	}, {
		name: "topic", params: []param{roomParam}, role: Plain, access: shared, code: codeMessage,
		help: "shows what the room is about",
		run:  (*Service).showTopic,
	}, {
		name: "history", params: []param{sinceParam, roomParam}, role: Plain, access: shared, code: -100,
		help: "shows what was said since a time: 30m, 2h, 3d, 15:04 or 2006-01-02T15:04",
		run:  (*Service).history,
	}, {
		name: "history", params: []param{countParam, roomParam}, role: Plain, access: shared, code: -100,
		help: "shows the last N things that were said",
		run:  (*Service).history,
	}, {
		name: "history", params: []param{roomParam}, role: Plain, access: shared, code: -100,
		help: "shows the last things that were said",
		run:  (*Service).history,
	}, {
		name: "ban", params: []param{userParam, roomParam}, role: Admin, access: exclusive, code: -80,
		help: "takes somebody out of the room for good",
		run:  (*Service).ban,
	}, {
		name: "unban", params: []param{userParam, roomParam}, role: Admin, access: exclusive, code: -80,
		help: "lets a banned user come again",
		run:  (*Service).unban,
	}, {
		name: "mute", params: []param{userParam, roomParam}, role: Admin, access: exclusive, code: -120,
		help: "takes a member's word away",
		run:  (*Service).mute,
	}, {
		name: "unmute", params: []param{userParam, roomParam}, role: Admin, access: exclusive, code: -120,
		help: "lets a muted member speak again",
		run:  (*Service).unmute,
	}, {
		name: "private", params: []param{roomParam}, role: Admin, access: exclusive, code: -120,
		help: "lets new members in by invitation only",
		run:  (*Service).makePrivate,
	}, {
		name: "public", params: []param{roomParam}, role: Admin, access: exclusive, code: -120,
		help: "lets everybody in",
		run:  (*Service).makePublic,
	}, {
		name: "help", role: anyone, code: -120,
		help: "shows this list",
		run:  (*Service).help,
	},
}

// forms gives the forms of a command, none for an unknown one.
func (s *Service) forms(name string) []*command {
	name = strings.ToLower(name)
	var forms []*command
	for _, c := range s.cfg().commands {
		if c.name == name || slices.Contains(c.aliases, name) {
			forms = append(forms, c)
		}
	}
	return forms
}

func (c *command) needsRoom() bool { return c.access != without }

// actor is who asks for something: the sender of a command, or, where user is
// zero, an operator, who may do everything.
type actor struct {
	user address.AoR
	call string // Call-ID of the request
}

func (a actor) operator() bool { return a.user.IsZero() }

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
		if err := s.attempt(ctx, c); err != errAgain {
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
	if c.by.operator() || c.command.role == anyone {
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
func (s *Service) hold(name address.AoR, a access) *room {
	for {
		s.mu.Lock()
		r := s.rooms[name]
		if r == nil && a == creating {
			r = newRoom(name)
			s.rooms[name] = r
		}
		s.mu.Unlock()
		if r == nil {
			return nil
		}
		if a == shared {
			r.step.RLock()
		} else {
			r.step.Lock()
		}
		if !r.gone && (r.exists() || a == creating) {
			return r
		}
		gone := r.gone
		s.release(r, a)
		if !gone {
			return nil
		}
	}
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
	delete(s.rooms, r.name)
	s.mu.Unlock()
}

// storing bounds the time of a call of the store.
func storing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, storeTime)
}
