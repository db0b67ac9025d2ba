package imc

import (
	"context"
	"strconv"
	"strings"
	"time"

	"silod/mi"
)

// What only management shows. These commands hold no step lock: they may run while
// a change is being written, and show the room before it or after it.

// miRoom finds the room that an argument names.
func (s *Service) miRoom(arg string) (*room, error) {
	name, no := s.parseRoom(arg, "")
	if no != nil {
		return nil, s.miError(refuse("no_room"))
	}
	r := s.find(name, false)
	if r == nil {
		return nil, s.miError(refuse("no_room"))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.exists() {
		return nil, s.miError(refuse("no_room"))
	}
	return r, nil
}

// miRoomActive and miRoomMember answer what the functions imc_room_active and
// imc_room_member answer in a routing script: no is an answer, and no error.
func (s *Service) miRoomActive(_ context.Context, req *mi.Request) (*mi.Node, error) {
	r, err := s.miRoom(req.Arg(0))
	if err != nil {
		return row("active", false), nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return row("active", true, "members", r.seated), nil
}

func (s *Service) miRoomMember(_ context.Context, req *mi.Request) (*mi.Node, error) {
	r, err := s.miRoom(req.Arg(0))
	if err != nil {
		return row("member", false), nil
	}
	u, no := s.parseUser(req.Arg(1), r.name.Domain)
	if no != nil {
		return nil, s.miError(no)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.index[u]
	if m == nil {
		return row("member", false), nil
	}
	return row("member", m.seated(), "role", m.Role.String()), nil
}

// miHistory gives the entries themselves, with the words of those that are text. It
// is the one place where an operator reads what people said.
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
		var no *refusal
		if since, no = s.parseSince(a); no != nil {
			return nil, s.miError(no)
		}
	}
	entries, err := s.recent(ctx, r, since, count)
	if err != nil {
		return nil, s.miError(err)
	}
	n := &mi.Node{List: true}
	for i := range entries {
		e := &entries[i]
		said := inspect(&e.Message).text
		n.Nodes = append(n.Nodes, row("seq", e.Seq, "time", e.At.UTC().Format(time.RFC3339), "from", e.From.String(),
			"type", mediaType(&e.Message), "size", len(e.Body), "text", strings.ToValidUTF8(said, "?")))
	}
	return n, nil
}

// row makes a reply of names and values, or one of a list.
func row(pairs ...any) *mi.Node {
	n := &mi.Node{}
	for i := 0; i+1 < len(pairs); i += 2 {
		n.Attrs = append(n.Attrs, mi.Attr{Name: pairs[i].(string), Value: pairs[i+1]})
	}
	return n
}

// lastUse is when somebody last spoke or read in a room, or it was made.
func (r *room) lastUse() time.Time {
	last := r.Created
	for _, m := range r.members {
		if m.seated() && m.Seen.After(last) {
			last = m.Seen
		}
	}
	return last
}

// miUnusedRooms goes by when members were last there, which outlives the log.
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
		for r := range s.sorted() {
			if n := r.unusedSince(limit); n != nil && !yield(n, nil) {
				return
			}
		}
	}}, nil
}

// unusedSince describes a room that was not used since then; nil for any other.
func (r *room) unusedSince(limit time.Time) *mi.Node {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.lastUse()
	if !r.exists() || last.After(limit) {
		return nil
	}
	return row("room", r.name.String(), "members", r.seated, "owner", r.ownerURI(), "last_use", when(last))
}

// ownerURI is "" where there is none. The caller holds step or mu.
func (r *room) ownerURI() string {
	if o := r.owner(); o != nil {
		return o.User.String()
	}
	return ""
}

// memberNode describes a member. The caller holds r.mu.
func memberNode(d mi.Dialect, r *room, m *member) *mi.Node {
	n := row("user", m.User.String(), "role", m.Role.String(), "muted", m.Muted, "paused", m.Paused,
		"behind", m.seated() && m.Cursor < r.last, "seen", when(m.Seen))
	if d == mi.Classic {
		n.Name, n.Value, n.Attrs = "MEMBER", n.Attrs[0].Value, n.Attrs[1:]
	}
	return n
}

// when writes a time, "" for none.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// miShowRoom shows a room with everybody in it.
func (s *Service) miShowRoom(_ context.Context, req *mi.Request) (*mi.Node, error) {
	r, err := s.miRoom(req.Arg(0))
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n := row("room", r.name.String(), "owner", r.ownerURI(), "members", r.seated, "private", r.Private,
		"created", when(r.Created), "last_use", when(r.lastUse()), "newest_entry", r.last, "topic", r.Topic)
	people := &mi.Node{Name: "people", List: true}
	if req.Dialect == mi.Classic { // lines have no name for a list
		n.Name, n.Value, n.Attrs = "ROOM", n.Attrs[0].Value, n.Attrs[1:]
		people.Name = ""
	}
	for _, m := range r.members {
		people.Nodes = append(people.Nodes, memberNode(req.Dialect, r, m))
	}
	n.Nodes = []*mi.Node{people}
	return n, nil
}
