package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"silod/mi"
	"silod/mi/client"
	"silod/sip"
)

// A kind is that of an argument that names something.
type kind int

const (
	other   kind = iota // not a name
	callee              // a user or a room
	sender              // a user, or a telephone number
	contact             // the URI of a device, with or without a user
	address             // an IP address
)

// An argument is one of a management command.
type argument struct {
	kind  kind
	value string // a value with which the command works
	named string // its name if it cannot be given by position
	label string // a part of the error that names it
}

func plain(value string) argument { return argument{value: value} }
func room(value string) argument  { return argument{kind: callee, value: value, label: "ROOM"} }
func user(label, value string) argument {
	return argument{kind: callee, value: value, label: label}
}

// selection are the arguments of the commands that select messages.
var selection = []argument{user("owner", jurgen), {kind: sender, value: otto, named: "from", label: "from"}}

const (
	jurgen   = "sip:j%C3%BCrgen@127.0.0.1"
	doris    = "sip:d%C3%B6ris@127.0.0.1" // has a device and no messages
	otto     = "sip:otto@127.0.0.1"
	chatRoom = "sip:chat-1@127.0.0.1"
	device   = "sip:x@192.0.2.7:5060"
)

// commandNames has the arguments of every management command that has names among them.
var commandNames = map[string][]argument{
	"imc_list_members":  {room(chatRoom)},
	"imc_show_room":     {room(chatRoom)},
	"imc_room_active":   {room(chatRoom)},
	"imc_room_member":   {room(chatRoom), user("USER", jurgen)},
	"imc_history":       {room(chatRoom)},
	"imc_create_room":   {room("sip:chat-2@127.0.0.1"), user("OWNER", jurgen)},
	"imc_destroy_room":  {room(chatRoom)},
	"imc_set_title":     {room(chatRoom), plain("title")},
	"imc_set_topic":     {room(chatRoom), plain("topic")},
	"imc_set_private":   {room(chatRoom), plain("yes")},
	"imc_add_member":    {room(chatRoom), user("USER", "sip:9901%231@127.0.0.1")},
	"imc_remove_member": {room(chatRoom), user("USER", jurgen)},
	"imc_modify_member": {room(chatRoom), user("USER", jurgen), plain("admin")},

	"imc_list_bans":       {room(chatRoom)},
	"imc_ban_member":      {room(chatRoom), user("USER", jurgen), plain("2h"), plain("spam")},
	"imc_unban_member":    {room(chatRoom), user("USER", doris)},
	"imc_mute_member":     {room(chatRoom), user("USER", jurgen)},
	"imc_unmute_member":   {room(chatRoom), user("USER", jurgen)},
	"imc_voice_member":    {room(chatRoom), user("USER", jurgen)},
	"imc_devoice_member":  {room(chatRoom), user("USER", jurgen)},
	"imc_moderate_room":   {room(chatRoom)},
	"imc_unmoderate_room": {room(chatRoom)},

	"silo_list":   selection,
	"silo_count":  selection,
	"silo_export": selection,
	"silo_purge":  selection,
	"silo_send":   {user("from", otto), user("to", jurgen), plain("hello"), user("owner", jurgen)},
	"silo_remind": {user("to", jurgen), plain("2037-01-01T00:00:00Z"), plain("hello")},
	"silo_dump":   {user("owner", jurgen)},

	"ul_show_contact": {plain("location"), user("AOR", doris)},
	"ul_add": {
		plain("location"), user("AOR", doris),
		{kind: contact, value: "sip:y@192.0.2.8", label: "contact"},
		plain("0"), plain("1.0"), plain("0"), plain("0"), plain("0"), plain("0"),
	},
	"ul_rm":         {plain("location"), user("AOR", doris), {kind: contact, value: device, label: "contact"}},
	"ul_rm_contact": {plain("location"), user("AOR", doris), {kind: contact, value: device, label: "contact"}},

	"sub_add":    {user("user", "sip:anna@127.0.0.1"), plain("secret")},
	"sub_passwd": {user("user", jurgen), plain("another")},
	"sub_remove": {user("user", jurgen)},
	"ban_lift":   {{kind: address, value: "192.0.2.66", label: "address"}},

	"t_uac_dlg": {
		plain("OPTIONS"), {kind: contact, value: otto, label: "request-URI"}, plain("."), plain("."), plain("From: <sip:mi@127.0.0.1>;tag=1\r\n"),
	},
	"watch": {user("address", jurgen)},
}

// otherCommands have no names of users, rooms or devices.
var otherCommands = []string{
	"uptime", "version", "info", "pwd", "arg", "which", "help", "ps", "kill", "debug", "log_level", "reload",
	"get_statistics", "list_statistics", "reset_statistics", "clear_statistics", "stats.fetch", "stats.fetchn",
	"list_sockets", "list_tcp_conns", "tcp_info", "ul_dump", "ul_flush", "domain_dump",
	"silo_show", "silo_requeue", "silo_delete", "silo_import", "silo_stats", "imc_list_rooms", "imc_unused_rooms",
	"sub_list", "ban_list", "busiest", "latencies", "clock_show", "clock_accept",
}

// noNames are values of arguments that name nothing.
var noNames = func() map[kind][]string {
	device := []string{"", " ", "\t", "@", "sip:", "sips:", "sip:@", "sip:@127.0.0.1", "<>", "<sip:>"}
	caller := slices.Concat(device, []string{
		"sip:127.0.0.1", "<sip:127.0.0.1>", `"Jürgen" <sip:127.0.0.1>`, "@127.0.0.1", "127.0.0.1", "%20", "sip:%20%09@127.0.0.1", "tel:", "tel:+",
	})
	return map[kind][]string{
		contact: device, sender: caller, callee: slices.Concat(caller, []string{"mailto:jurgen@127.0.0.1"}),
		address: {"", " ", "@", "sip:", "sip:127.0.0.1", "jürgen"},
	}
}()

// TestEmptyNames checks that each management command refuses each argument that names no user, room or
// device, in every dialect, and that it changes nothing.
func TestEmptyNames(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t), reminders...)
	s.namedState()
	for _, c := range s.registry.Commands() {
		list, known := commandNames[c.Name]
		if !known && !slices.Contains(otherCommands, c.Name) {
			t.Errorf("%s is in neither of the two lists: does it have the name of a user, a room or a device?", c.Name)
		}
		before := s.state()
		for i, a := range list {
			for _, value := range noNames[a.kind] {
				for _, d := range []mi.Dialect{mi.Classic, mi.Kamailio, mi.OpenSIPS, mi.Native} {
					s.refuses(d, c.Name, list, i, value)
				}
			}
		}
		if after := s.state(); after != before {
			t.Errorf("%s has changed\n%s\nto\n%s", c.Name, before, after)
		}
	}
	before := s.state()
	if after := s.restart(reminders...).state(); after != before {
		t.Errorf("a restart has changed\n%s\nto\n%s", before, after)
	}
}

// refuses runs a command with a value in place of its i-th argument.
func (s *served) refuses(d mi.Dialect, command string, list []argument, i int, value string) {
	s.t.Helper()
	_, err := s.run(d, command, list, i, value)
	var refused *mi.Error
	switch label := list[i].label; {
	case !errors.As(err, &refused):
		s.t.Errorf("%v: %s with %s %q is acknowledged", d, command, label, value)
	case d == mi.Kamailio && command == "imc_list_members": // has Kamailio's errors
	case refused.Code != 400 && refused.Code != 404, d == mi.Native && !strings.Contains(strings.ToLower(refused.Text), strings.ToLower(label)):
		s.t.Errorf("%v: %s with %s %q: %v, want a 400 that names the argument", d, command, label, value, err)
	}
}

// run runs a command with a value in place of its i-th argument.
func (s *served) run(d mi.Dialect, command string, list []argument, i int, value string) (*mi.Node, error) {
	req := &mi.Request{Command: command, Dialect: d}
	for j, a := range list {
		arg := mi.Arg{Name: a.named, Value: a.value}
		if j == i {
			arg.Value = value
		}
		req.Args = append(req.Args, arg)
	}
	return s.registry.Call(s.t.Context(), req)
}

// namedState makes a state with which each of commandNames works.
func (s *served) namedState() {
	s.t.Helper()
	for _, c := range []string{
		"imc_destroy_room|sip:chat-2@127.0.0.1", "imc_destroy_room|" + chatRoom, "ul_rm|location|" + doris, "sub_remove|" + jurgen, "sub_remove|sip:anna@127.0.0.1",
	} {
		s.ask(mi.Native, c) // may be refused
	}
	for _, which := range []string{"all", "reminders"} {
		if _, err := s.callNamed("silo_purge", which, "yes"); err != nil {
			s.t.Fatal(err)
		}
	}
	s.call("imc_create_room", chatRoom, jurgen)
	s.call("imc_add_member", chatRoom, otto)
	s.call("imc_modify_member", chatRoom, otto, "owner") // jurgen can then be removed
	s.call("imc_ban_member", chatRoom, doris)
	s.call("silo_send", otto, jurgen, "first")
	s.call("silo_send", "sip:carol@127.0.0.1", jurgen, "second")
	s.call("silo_send", otto, "sip:carol@127.0.0.1", "third")
	s.call("ul_add", "location", doris, device, "0", "1.0", "0", "0", "0", "0")
	s.call("sub_add", jurgen, "secret")
	s.quiet()
}

// state returns the replies of the commands that list users, rooms and messages.
func (s *served) state() string {
	s.t.Helper()
	s.quiet()
	var b strings.Builder
	for _, c := range []string{
		"imc_list_rooms", "imc_list_members|" + chatRoom, "imc_list_members|sip:chat-2@127.0.0.1", "ul_dump|brief", "sub_list",
		"silo_list", "silo_stats",
	} {
		reply := s.unvarying(strings.Split(c, "|")[0], s.ask(mi.Kamailio, c))
		if c == "sub_list" { // in the order of the names as they are stored
			lines := strings.SplitAfter(reply, "\n")
			slices.Sort(lines)
			reply = strings.Join(lines, "")
		}
		fmt.Fprintf(&b, "%s: %s\n", c, reply)
	}
	return b.String()
}

// TestSpellings checks that each management command does the same for all spellings of a name.
func TestSpellings(t *testing.T) {
	t.Parallel()
	s := serve(t, reminders...)
	digits := regexp.MustCompile(`\d+`) // numbers of messages
	for _, c := range s.registry.Commands() {
		list := commandNames[c.Name]
		for i, a := range list {
			if a.kind != callee && a.kind != sender || c.Follows {
				continue
			}
			s.namedState()
			outcome := func(value string) string {
				if c.Writes {
					s.namedState()
				}
				n, err := s.run(mi.Native, c.Name, list, i, value)
				reply := "=\n"
				switch {
				case err != nil:
					reply = err.Error()
				case n != nil:
					reply = "=" + s.unvarying(c.Name, nodeText(n))
				}
				if c.Writes {
					reply += s.state()
				}
				return digits.ReplaceAllString(reply, "N")
			}
			want := outcome(a.value)
			if refused := !strings.HasPrefix(want, "="); refused && c.Name != "silo_dump" { // which is for registered users
				t.Errorf("%s with %s %s: %s", c.Name, a.label, a.value, want)
			}
			others := spellings(t, a.value)
			if c.Writes {
				others = others[:4] // each needs a new state
			}
			for _, spelling := range others {
				if got := outcome(spelling); got != want {
					t.Errorf("%s with %s %q:\n%s\nwant that of %s:\n%s", c.Name, a.label, spelling, got, a.value, want)
				}
			}
		}
	}
}

// spellings returns other spellings of a user or room at 127.0.0.1.
func spellings(t *testing.T, uri string) []string {
	t.Helper()
	aor, err := sip.ParseAoR(uri)
	if err != nil {
		t.Fatal(err)
	}
	name := aor.PlainUser()
	escaped := ""
	for _, c := range []byte(name) {
		escaped += fmt.Sprintf("%%%02x", c)
	}
	return []string{
		strings.ToUpper(name[:1]) + name[1:], escaped, "sip:" + name + "@127.0.0.1;transport=tcp", `"Alice" <` + uri + ">;x=y",
		name, " " + name + "\t", name + "@127.0.0.1", "sips:" + escaped + "@127.0.0.1:5070", "<" + uri + ">",
	}
}

// nodeText returns a reply with its streamed parts as text.
func nodeText(n *mi.Node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s=%v %v\n", n.Name, n.Value, n.Attrs)
	for _, c := range n.Nodes {
		b.WriteString(nodeText(c))
	}
	if n.Stream != nil {
		for c, err := range n.Stream {
			if err != nil {
				return err.Error()
			}
			b.WriteString(nodeText(c))
		}
	}
	return b.String()
}

// TestWatchSpellings checks that the events of a user are shown for each spelling of the name.
func TestWatchSpellings(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, spelling := range append(spellings(t, jurgen), jurgen) {
		c, err := client.Dial(t.Context(), client.Target{Socket: filepath.Join(s.dir, "control.sock"), Timeout: -1})
		if err != nil {
			t.Fatal(err)
		}
		var events []string
		for n, err := range c.Stream(t.Context(), "watch", mi.Arg{Value: spelling}) {
			if err != nil {
				t.Fatalf("%q: %v", spelling, err)
			}
			events = append(events, nodeAttr(n, "event")+" "+nodeAttr(n, "user"))
			if len(events) == 1 {
				s.call("silo_send", otto, "Jürgen", "hello")
				continue
			}
			break
		}
		c.Close()
		if want := []string{"watching " + jurgen, "stored " + jurgen}; !slices.Equal(events, want) {
			t.Errorf("%q: %q, want %q", spelling, events, want)
		}
	}
}

// TestSenderInRows checks that messages are selected by their sender in whatever spelling another
// program has written the column src_addr.
func TestSenderInRows(t *testing.T) {
	t.Parallel()
	s := serve(t)
	rows := []string{jurgen, "sip:Jürgen@127.0.0.1", "sip:J%c3%bcrgen@127.0.0.1:5070;transport=tcp", otto, "sip:jurgen@127.0.0.1"}
	for i, from := range rows {
		s.call("silo_send", "sip:sender@127.0.0.1", "sip:carol@127.0.0.1", "hello")
		s.sql(fmt.Sprintf("UPDATE silo SET src_addr = '%s' WHERE id = %d", from, i+1))
	}
	for _, from := range append(spellings(t, jurgen), jurgen) {
		if n, err := s.callNamed("silo_count", "from", from); err != nil || !strings.Contains(nodeText(n), "count=3 ") {
			t.Errorf("from %q: %v, %v, want a count of 3", from, n, err)
		}
	}
	if n, err := s.callNamed("silo_purge", "from", "jürgen"); err != nil || !strings.Contains(nodeText(n), "deleted=3 ") {
		t.Errorf("silo_purge: %v, %v, want 3 deleted", n, err)
	}
	if n := s.stored(); n != 2 {
		t.Errorf("%d messages are left, want 2", n)
	}
}

// TestPurgeIsNeverOfAll checks that an argument that silo_purge does not know, or that selects nothing, does
// not widen what it deletes.
func TestPurgeIsNeverOfAll(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.call("silo_send", otto, jurgen, "hello")
	for _, args := range [][]string{
		{"user", "otto", "older_than", "0"},
		{"owner", "", "older_than", "0"},
		{"owner", " ", "all", "yes"},
		{"from", "", "all", "yes"},
		{"older_than", "", "all", "yes"},
		{"limit", "7"},
		{"stuck", "no"},
		{"Owner", "", "all", "yes"},
		{"", jurgen, "", "30d"},
		{},
	} {
		if n, err := s.callNamed("silo_purge", args...); err == nil {
			t.Errorf("silo_purge %q: %v", args, nodeText(n))
		}
	}
	if n := s.stored(); n != 1 {
		t.Errorf("%d messages are left, want 1", n)
	}
	if _, err := s.callNamed("silo_purge", "Owner", "jürgen", "older_than", "0"); err != nil {
		t.Error(err)
	}
}
