package imc

import (
	"context"
	"strconv"
	"strings"
	"time"

	"silod/mi"
	"silod/sip"
)

// Management commands that read rooms. They do not take the state lock: while a change
// is being written they show the room before or after it.

// findRoom returns the room that an argument names, nil if there is none.
func (s *Service) findRoom(arg string) (*room, error) {
	name, err := s.roomArg(arg)
	if err != nil {
		return nil, err
	}
	return s.existingRoom(name), nil
}

// existingRoom returns the room with a name if it exists for users, else nil.
func (s *Service) existingRoom(name sip.AoR) *room {
	r := s.roomNamed(name, false)
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.exists() {
		return nil
	}
	return r
}

// miRoom returns the room that an argument names. That there is none is an error.
func (s *Service) miRoom(arg string) (*room, error) {
	r, err := s.findRoom(arg)
	if err == nil && r == nil {
		err = s.miError(refuse("no_room"))
	}
	return r, err
}

// miRoomActive and miRoomMember answer the questions of the functions imc_room_active
// and imc_room_member in a routing script. That a room does not exist is not an error.
func (s *Service) miRoomActive(_ context.Context, req *mi.Request) (*mi.Node, error) {
	r, err := s.findRoom(req.Arg(0))
	switch {
	case err != nil:
		return nil, err
	case r == nil:
		return row("active", false), nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return row("active", true, "members", r.joined), nil
}

func (s *Service) miRoomMember(_ context.Context, req *mi.Request) (*mi.Node, error) {
	name, err := s.roomArg(req.Arg(0))
	if err != nil {
		return nil, err
	}
	u, err := s.userArg("USER", req.Arg(1), name.Domain)
	if err != nil {
		return nil, err
	}
	r := s.existingRoom(name)
	if r == nil {
		return row("member", false), nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.find(u)
	if m == nil {
		return row("member", false), nil
	}
	return row("member", m.joined(), "role", m.Role.String()), nil
}

// miHistory returns the entries of a room, with their text if they are text. No
// other command of this package shows the contents of messages to an operator.
func (s *Service) miHistory(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	r, err := s.miRoom(req.Arg(0))
	if err != nil {
		return nil, err
	}
	count, since := 0, time.Time{}
	if a := req.Arg(1); a != "" && a != "0" {
		if count, err = strconv.Atoi(a); err != nil || count < 0 {
			return nil, mi.Errorf(400, "COUNT must be a number")
		}
	}
	if a := req.Arg(2); a != "" {
		var refused *refusal
		if since, refused = s.parseSince(a); refused != nil {
			return nil, s.miError(refused)
		}
	}
	entries, err := s.recent(ctx, sip.AoR{}, r, since, count)
	if err != nil {
		return nil, s.miError(err)
	}
	n := &mi.Node{List: true}
	for i := range entries {
		e := &entries[i]
		content := inspect(&e.Message).text
		n.Nodes = append(n.Nodes, row("seq", e.Seq, "time", e.At.UTC().Format(time.RFC3339), "from", e.From.String(),
			"type", mediaType(&e.Message), "size", len(e.Body), "text", strings.ToValidUTF8(content, "?")))
	}
	return n, nil
}

// row returns a node of alternating names and values.
func row(pairs ...any) *mi.Node {
	n := &mi.Node{}
	for i := 0; i+1 < len(pairs); i += 2 {
		n.Attrs = append(n.Attrs, mi.Attr{Name: pairs[i].(string), Value: pairs[i+1]})
	}
	return n
}

// lastUse returns the time at which a member was last active in the room, or the time
// of its creation.
func (r *room) lastUse() time.Time {
	last := r.Created
	for _, m := range r.members {
		if m.joined() && m.Seen.After(last) {
			last = m.Seen
		}
	}
	return last
}

// miUnusedRooms goes by Member.Seen, which is kept longer than the log.
func (s *Service) miUnusedRooms(_ context.Context, req *mi.Request) (*mi.Node, error) {
	days := 30
	if a := req.Arg(0); a != "" {
		var err error
		if days, err = strconv.Atoi(a); err != nil || days < 0 {
			return nil, mi.Errorf(400, "DAYS must be a number")
		}
	}
	limit := s.now().AddDate(0, 0, -days)
	return &mi.Node{List: true, Stream: func(yield func(*mi.Node, error) bool) {
		for r := range s.sortedRooms() {
			if n := r.unusedSince(limit); n != nil && !yield(n, nil) {
				return
			}
		}
	}}, nil
}

// unusedSince returns the description of a room that was not used after limit, or nil.
func (r *room) unusedSince(limit time.Time) *mi.Node {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.lastUse()
	if !r.exists() || last.After(limit) {
		return nil
	}
	return row("room", r.name.String(), "members", r.joined, "owner", r.ownerURI(), "last_use", formatTime(last))
}

// ownerURI returns the URI of the owner, "" if there is none. The caller holds stateMu
// or mu.
func (r *room) ownerURI() string {
	if o := r.owner(); o != nil {
		return o.User.String()
	}
	return ""
}

// copies returns copies of the members, in the order in which they were added: messages do not
// wait while a large room is described. The caller holds r.mu.
func (r *room) copies() []Member {
	members := make([]Member, len(r.members))
	for i, m := range r.members {
		members[i] = m.Member
	}
	return members
}

// memberNode returns the description of a member; last is the Seq of the newest entry.
func memberNode(d mi.Dialect, m *Member, last int64) *mi.Node {
	n := row("user", m.User.String(), "role", m.Role.String(), "muted", m.Muted, "paused", m.Paused,
		"behind", m.joined() && m.Cursor < last, "seen", formatTime(m.Seen), "voiced", m.Voiced,
		"muted_until", formatTime(m.MutedUntil), "banned_until", formatTime(m.BannedUntil), "reason", m.Reason, "nick", m.Nick)
	if d == mi.Classic {
		n.Name, n.Value, n.Attrs = "MEMBER", n.Attrs[0].Value, n.Attrs[1:]
	}
	return n
}

// formatTime returns a time as management replies show it, "" for the zero time.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// miShowRoom shows a room with its members and its invited and banned users.
func (s *Service) miShowRoom(_ context.Context, req *mi.Request) (*mi.Node, error) {
	r, err := s.miRoom(req.Arg(0))
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	n := row("room", r.name.String(), "owner", r.ownerURI(), "members", r.joined, "private", r.Private,
		"created", formatTime(r.Created), "last_use", formatTime(r.lastUse()), "newest_entry", r.last, "topic", r.Topic,
		"moderated", r.Moderated, "title", r.Title)
	members, last := r.copies(), r.last
	r.mu.Unlock()
	people := &mi.Node{Name: "people", List: true}
	if req.Dialect == mi.Classic { // a list has no name in this format
		n.Name, n.Value, n.Attrs = "ROOM", n.Attrs[0].Value, n.Attrs[1:]
		people.Name = ""
	}
	for i := range members {
		people.Nodes = append(people.Nodes, memberNode(req.Dialect, &members[i], last))
	}
	n.Nodes = []*mi.Node{people}
	return n, nil
}
