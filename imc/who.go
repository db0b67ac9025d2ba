package imc

import (
	"context"
	"time"
)

// recently is the time for which a member that was seen counts as online.
const recently = 5 * time.Minute

// who sends the caller the members that can be reached now, in one message: those with a
// registered device, and those that were seen recently. silod does not know the devices of users
// of other servers, nor those behind an outbound proxy.
func (s *Service) who(_ context.Context, c *invocation, r *room) error {
	members := r.membersByRole()
	var lines []string
	unknown := 0
	for i := range members {
		m := &members[i]
		online, known := false, false
		if s.online != nil {
			online, known = s.online(m.User)
		}
		switch {
		case online && known || m.User == c.by.user || s.now().Sub(m.Seen) < recently:
			lines = append(lines, s.text("member", r.name, "mark", m.mark(), "user", s.listedName(r, m)))
		case !known:
			unknown++
		}
	}
	page := s.text("online", r.name, "count", itoa(len(lines)), "total", itoa(len(members)))
	end := ""
	if unknown > 0 {
		end = "\n" + s.text("online_unknown", r.name, "count", itoa(unknown))
	}
	for i, line := range lines {
		more := "\n" + s.text("more", r.name, "count", itoa(len(lines)-i))
		if i > 0 && len(page)+1+len(line)+len(more)+len(end) > pageBytes {
			page += more
			break
		}
		page += "\n" + line
	}
	s.notifyUser(c, c.by.user, r.name, page+end)
	return nil
}

// mark returns the sign of a role in lists.
func (m *Member) mark() string {
	switch m.Role {
	case Owner:
		return "*"
	case Admin:
		return "~"
	}
	return ""
}

// listedName returns a member as lists show it: the name, and the nickname if there is one.
func (s *Service) listedName(r *room, m *Member) string {
	name := displayName(m.User, r.name)
	if m.Nick == "" {
		return name
	}
	return s.text("nicked", r.name, "user", name, "nick", m.Nick)
}
