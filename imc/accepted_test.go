package imc_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"silod/mi"
)

// oddNames are names that other programs, people and attackers write.
var oddNames = []string{
	"", " ", "\t", "@", "sip:", "sip:@", "<>", "<sip:>", "sip:example.test", "@example.test", "example.test@", "sip:@example.test", "sip:%20@example.test",
	"\x00", "a\x00b", "a\r\nb", "%00", "a%0d%0ab", "%7f", "%C2%85x", "%E2%80%A8", "tel:+49", "bob@", "bob@@example.test", "bob@far.test", "bob@far.test:5070",
	"bob", "BOB", "sip:Bob@EXAMPLE.test", "sips:b%6Fb@alias.test:5061;x=y", "jürgen", "J%c3%BCrgen", "9901#1", "9901%231", "o%27neil", "O'NEIL", "{}|^`",
	"a b", "a%20b", "50%", "%", "%4", "%FC", "\xfc", "日本", "\u202ebob", "bob\u200b", "~bob", "*bob", "a;b=c", "a?b", "a/b", "+4917", "%2B4917", `"bob"`, `b"b`,
	strings.Repeat("u", 64), strings.Repeat("u", 65), strings.Repeat("ü", 10), strings.Repeat("ü", 11), "x@" + strings.Repeat("d.", 40) + "test", "bob@[::1]", "bob@[::1", "bob@-",
	"chat-1", "CHAT-1", "chat%2D1", "sip:chat-1@alias.test", "chat-1@other.test", "chat-1@far.test", "chat-manager", "chat-1%00", "chat-%C3%BC", "~k3", "raum-köln", "RAUM-k%c3%b6ln",
	"raum-" + strings.Repeat("ö", 9), "raum-" + strings.Repeat("ö", 6), "private", "owner", "<bob>", "bob>", "<bob",
}

// TestAcceptedIsStored runs random commands of users and administrators with odd names and
// checks that after a restart all rooms are as before, so that no answer 200 was a lie.
func TestAcceptedIsStored(t *testing.T) {
	for name, open := range stores {
		for seed := range uint64(2) {
			t.Run(fmt.Sprint(name, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, open(t), nil)
					defer func() { w.stop() }()
					w.config.RoomPattern = `^(chat-.*|raum-.*|~.*)$`
					w.restart()
					runOdd(t, w, rand.New(rand.NewPCG(seed, 14)))
				})
			})
		}
	}
}

func runOdd(t *testing.T, w *world, rnd *rand.Rand) {
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	name := func() string { return pick(oddNames...) }
	room := func() string { return pick("chat-1", "chat-2", "raum-köln", pick(oddNames...)) }
	registry := func() *mi.Registry {
		r := mi.NewRegistry(quiet)
		r.Add(w.rooms.Commands()...)
		return r
	}
	reg := registry()
	accepted := 0
	for n := range 500 {
		if n%40 == 39 {
			before := allRooms(t, reg)
			if w.restart(); rnd.IntN(2) == 0 {
				w.crash()
			}
			reg = registry()
			if after := allRooms(t, reg); after != before {
				t.Fatalf("before the restart\n%s\nafter it\n%s", before, after)
			}
		}
		var done bool
		var step string
		if rnd.IntN(2) == 0 {
			args := map[string][]string{
				"imc_create_room":   {room(), name()},
				"imc_destroy_room":  {name()},
				"imc_add_member":    {room(), name(), pick("", "member", "admin", "owner")},
				"imc_remove_member": {room(), name()},
				"imc_modify_member": {room(), name(), pick("owner", "admin", "member", "muted", "unmuted", "banned", "unbanned")},
			}
			cmd := pick("imc_create_room", "imc_destroy_room", "imc_add_member", "imc_add_member", "imc_remove_member", "imc_modify_member", "imc_modify_member")
			_, err := call(t, reg, mi.Native, cmd, args[cmd]...)
			step, done = fmt.Sprintf("%s %q", cmd, args[cmd]), err == nil
			checkArguments(t, step, args[cmd], err)
		} else {
			by := pick("alice", "bob", "jürgen", "9901#1", "o'neil", "a b", "~bob", "\x00", "a\nb", "%C2%85x", "\xfc")
			cmd := pick("#create", "#join", "#create", "#join private", "#exit", "#accept", "#deny", "#add "+name(), "#add "+name(), "#invite "+name(), "#remove "+name(),
				"#modify "+name()+" "+pick("owner", "admin", "member"), "#ban "+name(), "#unban "+name(), "#mute "+name(), "#topic "+name(), "#private", "#public", "#join "+room(), "hello")
			to := room()
			if a := aor(to); !w.rooms.IsRoom(a) {
				to = "chat-manager"
			}
			req := w.message(by, to, "text/plain", cmd)
			req.To = "<" + aor(room()).String() + ">"
			step, done = fmt.Sprintf("%s -> %s: %q", by, to, cmd), w.handle(req).Status == 200
		}
		w.ignore()
		if done {
			accepted++
		}
		all := allRooms(t, reg)
		for _, bad := range []string{"user sip:@", "sip:%0", "bob%00", "a%0", "%20@", "user sip:example.test}"} {
			if strings.Contains(all, bad) {
				t.Fatalf("%s accepted %q\n%s", step, bad, all)
			}
		}
	}
	if accepted < 60 {
		t.Errorf("only %d commands were accepted", accepted)
	}
}

// checkArguments checks that a command without the name of a room or a user is refused with
// the name of the argument.
func checkArguments(t *testing.T, step string, args []string, err error) {
	t.Helper()
	for i, name := range args[:min(2, len(args))] {
		if strings.TrimSpace(name) != "" {
			continue
		}
		e, ok := errors.AsType[*mi.Error](err)
		first := i == 0 || strings.TrimSpace(args[0]) != ""
		if !ok || e.Code != 400 || first && !strings.HasPrefix(e.Text, []string{"ROOM", "USER", "OWNER"}[i]) &&
			!strings.HasPrefix(e.Text, "OWNER is empty") && !strings.HasPrefix(e.Text, "ROOM is wrong") {
			t.Fatalf("%s: %v", step, err)
		}
	}
}

// allRooms returns all rooms with their people, one line each.
func allRooms(t *testing.T, reg *mi.Registry) string {
	t.Helper()
	n, err := call(t, reg, mi.Native, "imc_list_rooms")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for r, err := range n.Stream {
		if err != nil {
			t.Fatal(err)
		}
		room := r.Attrs[0].Value.(string)
		shown, err := call(t, reg, mi.Native, "imc_show_room", room)
		if err != nil {
			t.Fatal(err)
		}
		var people []string // in any order: those of banned users come last after a restart
		for _, p := range shown.Nodes[0].Nodes {
			people = append(people, fmt.Sprint("    ", p.Attrs[:4], "\n"))
		}
		slices.Sort(people)
		lines = append(lines, fmt.Sprint(room, shown.Attrs[1:4], shown.Attrs[7], "\n")+strings.Join(people, ""))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}
