package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"silod/mi"
)

// A fake is the state of a test's daemon. Its commands reply in the form of the real ones,
// with the behaviour that siloctl needs.
type fake struct {
	mu       sync.Mutex
	rooms    map[string]string // room -> owner
	members  map[string][]string
	messages []message
	users    map[string]string // user -> password
	contacts []string
}

type message struct {
	id          int64
	owner, from string
	stuck       string
}

func newFake() *fake {
	return &fake{
		rooms: map[string]string{}, members: map[string][]string{},
		users: map[string]string{"sip:alice@example.org": "wonder"},
		messages: []message{
			{1, "sip:bob@example.org", "sip:alice@example.org", ""},
			{2, "sip:bob@example.org", "sip:mallory@example.net", "603 Decline"},
			{7, "sip:carol@example.org", "sip:alice@example.org", ""},
		},
		contacts: []string{"sip:alice@example.org"},
	}
}

func (f *fake) commands() []mi.Command {
	cmds := []mi.Command{
		{Name: "imc_list_rooms", Help: "Lists the rooms.", Run: f.listRooms},
		{Name: "imc_show_room", Args: "room", MinArgs: 1, MaxArgs: 1, Help: "Shows a room.", Run: f.showRoom},
		{Name: "imc_create_room", Args: "room owner [private]", MinArgs: 2, MaxArgs: 3, Writes: true, Help: "Creates a room.", Run: f.createRoom},
		{Name: "imc_destroy_room", Args: "room", MinArgs: 1, MaxArgs: 1, Writes: true, Help: "Destroys a room.", Run: f.destroyRoom},
		{Name: "imc_history", Args: "room [limit]", MinArgs: 1, MaxArgs: 2, Help: "Shows the last messages.", Run: f.history},
		{Name: "imc_list_members", Args: "room", MinArgs: 1, MaxArgs: 1, Help: "Lists members.", Run: f.listMembers},
		{Name: "imc_add_member", Args: "room user", MinArgs: 2, MaxArgs: 2, Writes: true, Help: "Adds a member.", Run: f.addMember},
		{Name: "imc_remove_member", Args: "room user", MinArgs: 2, MaxArgs: 2, Writes: true, Help: "Removes a member.", Run: f.removeMember},
		{Name: "imc_modify_member", Args: "room user role", MinArgs: 3, MaxArgs: 3, Writes: true, Help: "Changes a role.", Run: f.ok},
		{Name: "silo_list", Args: "[owner] [from] [older_than] [stuck] [reminders] [after] [limit]", MaxArgs: 7, Help: "Lists messages.", Run: f.list},
		{Name: "silo_show", Args: "id", MinArgs: 1, MaxArgs: 1, Help: "Shows a message.", Run: f.show},
		{Name: "silo_count", Args: "[owner] [from] [older_than] [stuck] [reminders]", MaxArgs: 5, Help: "Counts messages.", Run: f.count},
		{Name: "silo_send", Args: "from to text", MinArgs: 3, MaxArgs: 3, Writes: true, Help: "Stores a message.", Run: f.send},
		{Name: "silo_dump", Args: "owner", MinArgs: 1, MaxArgs: 1, Writes: true, Help: "Delivers.", Run: f.ok},
		{Name: "silo_requeue", Args: "id", MinArgs: 1, MaxArgs: 1, Writes: true, Help: "Requeues.", Run: f.requeue},
		{Name: "silo_delete", Args: "id", MinArgs: 1, MaxArgs: 1, Writes: true, Help: "Deletes a message.", Run: f.remove},
		{Name: "silo_purge", Args: "[owner] [from] [older_than] [stuck] [reminders] [limit] [all]", MaxArgs: 7, Writes: true, Help: "Deletes messages.", Run: f.purge},
		{Name: "silo_remind", Args: "to time text", MinArgs: 3, MaxArgs: 3, Writes: true, Help: "Reminds.", Run: f.remind},
		{Name: "ul_dump", Args: "[brief]", MaxArgs: 2, Help: "Lists contacts.", Run: f.dump},
		{Name: "ul_show_contact", Args: "table aor", MinArgs: 2, MaxArgs: 2, Help: "Shows contacts.", Run: f.dump},
		{Name: "ul_add", Args: "table aor contact expires q path flags cflags methods", MinArgs: 9, MaxArgs: 9, Writes: true, Help: "Adds a contact.", Run: f.echo},
		{Name: "ul_rm", Args: "table aor [contact]", MinArgs: 2, MaxArgs: 3, Writes: true, Help: "Removes contacts.", Run: f.echo},
		{Name: "ul_rm_contact", Args: "table aor contact", MinArgs: 3, MaxArgs: 3, Writes: true, Help: "Removes a contact.", Run: f.echo},
		{Name: "sub_list", Help: "Lists users.", Run: f.listUsers},
		{Name: "sub_add", Args: "user password", MinArgs: 2, MaxArgs: 2, Writes: true, Help: "Adds a user.", Run: f.addUser},
		{Name: "sub_passwd", Args: "user password", MinArgs: 2, MaxArgs: 2, Writes: true, Help: "Sets a password.", Run: f.setPassword},
		{Name: "sub_remove", Args: "user", MinArgs: 1, MaxArgs: 1, Writes: true, Help: "Removes a user.", Run: f.removeUser},
		{Name: "domain_dump", Help: "Lists domains.", Run: f.listDomains},
		{Name: "echo", Args: "words...", MaxArgs: -1, Help: "Gives back its arguments.", Run: f.echo},
		{Name: "hang", Help: "Never answers.", Run: func(ctx context.Context, _ *mi.Request) (*mi.Node, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
	}
	for i := range cmds { // one at a time, so that the commands do not lock
		run, usage := cmds[i].Run, strings.Fields(cmds[i].Args)
		if cmds[i].Name == "hang" {
			continue
		}
		cmds[i].Run = func(ctx context.Context, req *mi.Request) (*mi.Node, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			parsed, err := canonical(req, usage)
			if err != nil {
				return nil, err
			}
			return run(ctx, parsed)
		}
	}
	return cmds
}

func (f *fake) ok(context.Context, *mi.Request) (*mi.Node, error) { return &mi.Node{}, nil }

func (f *fake) echo(_ context.Context, req *mi.Request) (*mi.Node, error) {
	n := &mi.Node{List: true}
	for _, a := range req.Args {
		n.Add("", a.Value)
	}
	return n, nil
}

func (f *fake) room(req *mi.Request) (string, error) {
	room := uri(req.Arg(0))
	if _, ok := f.rooms[room]; !ok {
		return "", mi.Errorf(404, "no such room")
	}
	return room, nil
}

func (f *fake) listRooms(context.Context, *mi.Request) (*mi.Node, error) {
	n := &mi.Node{List: true}
	for _, room := range slices.Sorted(keysOf(f.rooms)) {
		n.Add("ROOM", nil, mi.Attr{Name: "room", Value: room}, mi.Attr{Name: "members", Value: len(f.members[room])}, mi.Attr{Name: "owner", Value: f.rooms[room]})
	}
	return n, nil
}

func keysOf(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (f *fake) showRoom(_ context.Context, req *mi.Request) (*mi.Node, error) {
	room, err := f.room(req)
	if err != nil {
		return nil, err
	}
	n := &mi.Node{}
	n.Add("room", room)
	n.Add("owner", f.rooms[room])
	n.Add("created", "2026-11-21T22:14:11Z")
	n.Add("topic", "first line\nsecond \x1b[31mline")
	list := n.Add("members", nil)
	list.List = true
	for _, m := range f.members[room] {
		list.Add("MEMBER", nil, mi.Attr{Name: "user", Value: m}, mi.Attr{Name: "role", Value: "member"})
	}
	return n, nil
}

func (f *fake) createRoom(_ context.Context, req *mi.Request) (*mi.Node, error) {
	room, owner := uri(req.Arg(0)), uri(req.Arg(1))
	if _, ok := f.rooms[room]; ok {
		return nil, mi.Errorf(409, "room %s exists", room)
	}
	f.rooms[room] = owner
	f.members[room] = []string{owner}
	return &mi.Node{}, nil
}

func (f *fake) destroyRoom(_ context.Context, req *mi.Request) (*mi.Node, error) {
	room, err := f.room(req)
	if err != nil {
		return nil, err
	}
	delete(f.rooms, room)
	return &mi.Node{}, nil
}

func (f *fake) history(_ context.Context, req *mi.Request) (*mi.Node, error) {
	if _, err := f.room(req); err != nil {
		return nil, err
	}
	n := &mi.Node{List: true}
	limit, _ := strconv.Atoi(req.Arg(1))
	for i, text := range []string{"one", "two", "three"}[max(0, 3-limit):] {
		n.Add("ENTRY", nil, mi.Attr{Name: "seq", Value: i}, mi.Attr{Name: "time", Value: fmt.Sprintf("2026-11-21T22:14:%02dZ", i)},
			mi.Attr{Name: "from", Value: "sip:alice@example.org"}, mi.Attr{Name: "text", Value: text})
	}
	return n, nil
}

func (f *fake) listMembers(_ context.Context, req *mi.Request) (*mi.Node, error) {
	room, err := f.room(req)
	if err != nil {
		return nil, err
	}
	n := &mi.Node{List: true}
	for _, m := range f.members[room] {
		n.Add("MEMBER", nil, mi.Attr{Name: "user", Value: m}, mi.Attr{Name: "role", Value: "member"})
	}
	return n, nil
}

func (f *fake) addMember(_ context.Context, req *mi.Request) (*mi.Node, error) {
	room, err := f.room(req)
	if err != nil {
		return nil, err
	}
	f.members[room] = append(f.members[room], uri(req.Arg(1)))
	return &mi.Node{}, nil
}

func (f *fake) removeMember(_ context.Context, req *mi.Request) (*mi.Node, error) {
	room, err := f.room(req)
	if err != nil {
		return nil, err
	}
	f.members[room] = slices.DeleteFunc(f.members[room], func(m string) bool { return m == uri(req.Arg(1)) })
	return &mi.Node{}, nil
}

func (f *fake) listUsers(context.Context, *mi.Request) (*mi.Node, error) {
	n := &mi.Node{List: true}
	for _, u := range slices.Sorted(keysOf(f.users)) {
		n.Add("USER", nil, mi.Attr{Name: "user", Value: u})
	}
	return n, nil
}

func (f *fake) addUser(_ context.Context, req *mi.Request) (*mi.Node, error) {
	if _, ok := f.users[req.Arg(0)]; ok {
		return nil, mi.Errorf(409, "user %s exists", req.Arg(0))
	}
	f.users[req.Arg(0)] = req.Arg(1)
	return &mi.Node{}, nil
}

func (f *fake) setPassword(_ context.Context, req *mi.Request) (*mi.Node, error) {
	if _, ok := f.users[req.Arg(0)]; !ok {
		return nil, mi.Errorf(404, "no user %s", req.Arg(0))
	}
	f.users[req.Arg(0)] = req.Arg(1)
	return &mi.Node{}, nil
}

func (f *fake) removeUser(_ context.Context, req *mi.Request) (*mi.Node, error) {
	delete(f.users, req.Arg(0))
	return &mi.Node{}, nil
}

func (f *fake) selected(req *mi.Request) []message {
	var list []message
	for _, m := range f.messages {
		owner, from := req.Named("owner", 0), req.Named("from", -1)
		if owner != "" && uri(owner) != m.owner || from != "" && uri(from) != m.from ||
			req.Named("stuck", -1) == "true" && m.stuck == "" || req.Named("older_than", -1) == "30d" && m.id > 2 {
			continue
		}
		list = append(list, m)
	}
	return list
}

func (f *fake) list(_ context.Context, req *mi.Request) (*mi.Node, error) {
	if req.Named("reminders", -1) == "true" {
		return &mi.Node{List: true}, nil
	}
	list := f.selected(req)
	return &mi.Node{List: true, Stream: func(yield func(*mi.Node, error) bool) {
		for _, m := range list {
			n := &mi.Node{Name: "MESSAGE", Attrs: []mi.Attr{
				{Name: "id", Value: m.id},
				{Name: "owner", Value: m.owner},
				{Name: "from", Value: m.from},
				{Name: "stored", Value: "2026-11-21T22:14:11Z"},
				{Name: "bytes", Value: 5},
				{Name: "call_id", Value: "c1"},
			}}
			if m.stuck != "" {
				n.Attrs = append(n.Attrs, mi.Attr{Name: "stuck", Value: m.stuck})
			}
			if !yield(n, nil) {
				return
			}
		}
	}}, nil
}

func (f *fake) byID(req *mi.Request) (int, error) {
	i := slices.IndexFunc(f.messages, func(m message) bool { return fmt.Sprint(m.id) == req.Arg(0) })
	if i < 0 {
		return 0, mi.Errorf(404, "There is no message %s; it may have been delivered", req.Arg(0))
	}
	return i, nil
}

func (f *fake) show(_ context.Context, req *mi.Request) (*mi.Node, error) {
	i, err := f.byID(req)
	if err != nil {
		return nil, err
	}
	n := &mi.Node{}
	n.Add("id", f.messages[i].id)
	n.Add("owner", f.messages[i].owner)
	hs := n.Add("headers", nil)
	hs.List = true
	hs.Add("header", "Content-Type: text/plain")
	hs.Add("header", "Subject: hello")
	ds := n.Add("devices", nil)
	ds.List = true
	ds.Add("DEVICE", nil, mi.Attr{Name: "device", Value: "<urn:uuid:1>"}, mi.Attr{Name: "answer", Value: "415 Unsupported Media Type"},
		mi.Attr{Name: "at", Value: "2026-11-21T22:14:11Z"})
	n.Add("body", "first line\nsecond line")
	return n, nil
}

func (f *fake) count(_ context.Context, req *mi.Request) (*mi.Node, error) {
	n := &mi.Node{}
	n.Add("count", len(f.selected(req)))
	return n, nil
}

func (f *fake) send(_ context.Context, req *mi.Request) (*mi.Node, error) {
	f.messages = append(f.messages, message{id: 8, owner: uri(req.Arg(1)), from: uri(req.Arg(0))})
	n := &mi.Node{}
	n.Add("id", 8)
	return n, nil
}

func (f *fake) remind(context.Context, *mi.Request) (*mi.Node, error) {
	n := &mi.Node{}
	n.Add("id", 9)
	return n, nil
}

func (f *fake) requeue(_ context.Context, req *mi.Request) (*mi.Node, error) {
	i, err := f.byID(req)
	if err != nil {
		return nil, err
	}
	f.messages[i].stuck = ""
	return &mi.Node{}, nil
}

func (f *fake) remove(_ context.Context, req *mi.Request) (*mi.Node, error) {
	i, err := f.byID(req)
	if err != nil {
		return nil, err
	}
	f.messages = slices.Delete(f.messages, i, i+1)
	return &mi.Node{}, nil
}

func (f *fake) purge(_ context.Context, req *mi.Request) (*mi.Node, error) {
	limit, _ := strconv.Atoi(req.Named("limit", -1))
	if len(req.Args) == 1 { // only a limit
		return nil, mi.Errorf(400, "Say which messages")
	}
	gone := f.selected(req)
	gone = gone[:min(len(gone), limit)]
	f.messages = slices.DeleteFunc(f.messages, func(m message) bool { return slices.Contains(gone, m) })
	n := &mi.Node{}
	n.Add("deleted", len(gone))
	if len(f.selected(req)) > 0 {
		n.Add("after", gone[len(gone)-1].id)
	}
	return n, nil
}

func (f *fake) dump(_ context.Context, req *mi.Request) (*mi.Node, error) {
	n := &mi.Node{List: true}
	for _, c := range f.contacts {
		if aor := req.Arg(1); aor != "" && uri(aor) != c {
			return nil, mi.Errorf(404, "AOR not found")
		}
		n.Add("CONTACT", nil, mi.Attr{Name: "aor", Value: c}, mi.Attr{Name: "contact", Value: "sip:a@192.0.2.1"},
			mi.Attr{Name: "expires", Value: 60}, mi.Attr{Name: "flow", Value: "udp:127.0.0.1:5060>192.0.2.1:5060"})
	}
	return n, nil
}
