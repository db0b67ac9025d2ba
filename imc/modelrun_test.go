package imc_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/imc"
	"silod/mi"
)

// state is the part of a reply of imc_show_room that a model knows.
type state struct {
	Owner     string
	Private   bool
	Moderated bool
	Topic     string
	People    []struct {
		User, Role    string
		Muted, Voiced bool
	}
}

func (m *model) String() string {
	if !m.exists {
		return "none"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "private=%v moderated=%v topic=%s", m.private, m.moderated, m.topic)
	for _, u := range slices.Sorted(maps.Keys(m.people)) {
		fmt.Fprintf(&b, " %s=%s", u, m.people[u])
		if m.muted[u] {
			b.WriteString("(muted)")
		}
		if m.voiced[u] {
			b.WriteString("(voice)")
		}
	}
	return b.String()
}

// shown returns the actual room in the form of model.String.
func shown(t *testing.T, r *mi.Registry) string {
	text := rpc(t, r, mi.Native, "imc_show_room", "chat-1")
	if text == "404 no such room" {
		return "none"
	}
	var s state
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	m := model{exists: true, private: s.Private, moderated: s.Moderated, topic: s.Topic, people: map[string]string{}, muted: map[string]bool{}, voiced: map[string]bool{}}
	for _, p := range s.People {
		u := strings.TrimSuffix(strings.TrimPrefix(p.User, "sip:"), "@"+domain)
		m.people[u] = p.Role
		if p.Muted {
			m.muted[u] = true
		}
		if p.Voiced {
			m.voiced[u] = true
		}
	}
	return m.String()
}

// TestRoomsFollowTheModel runs random commands with failures of the store and crashes.
// The room must always equal the model, all members must get the notices, and the store
// must hold exactly one owner and no room without members.
func TestRoomsFollowTheModel(t *testing.T) {
	commands := []string{
		"create", "join", "accept", "deny", "exit", "destroy", "speak", "invite", "add", "remove",
		"modify", "ban", "unban", "mute", "unmute", "private", "public", "topic",
		"moderate", "unmoderate", "voice", "devoice",
	}
	users := []string{"ann", "bob", "cid", "dot", "eve"}
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
			onMemory(t, nil, func(w *world, st *memStore) {
				t := w.t
				registry := func() *mi.Registry {
					r := mi.NewRegistry(quiet)
					r.Add(w.rooms.Commands()...)
					return r
				}
				reg, m, history := registry(), model{}, ""
				for range 400 {
					by, cmd, user, arg := pick(users...), pick(commands...), pick(users...), ""
					if cmd == "exit" || cmd == "destroy" {
						cmd = pick(cmd, "speak", "invite", "join", "modify") // so that rooms exist for longer
					}
					line := "#" + cmd
					if cmd == "invite" || cmd == "add" {
						time.Sleep(time.Hour) // the limits of consent.go are not reached
					}
					switch cmd {
					case "speak":
						line = fmt.Sprint("words ", w.calls)
					case "create":
						if arg = pick("", "private"); arg != "" {
							line += " chat-1 " + arg
						}
					case "modify":
						arg = pick("owner", "admin", "member")
						line += " " + user + " " + arg
					case "topic":
						arg = fmt.Sprint("tea ", w.calls)
						line += " " + arg
					case "invite", "add", "remove", "ban", "unban", "mute", "unmute", "voice", "devoice":
						line += " " + user
					}
					history += by + ": " + line + "\n"
					if rnd.IntN(20) == 0 {
						w.crash()
						reg = registry()
						w.settleDown()
					}
					w.ignore()
					before := m.members()
					if rnd.IntN(10) == 0 {
						st.fail(func(op string) error {
							if op == "read" {
								return nil
							}
							return imc.ErrBusy
						})
						reply := w.say(by, "chat-1", line)
						st.fail(nil)
						if reply.Status == 503 {
							continue
						}
						w.ignore() // the command did not use the store: repeat it, with the same result
					}
					reply := w.say(by, "chat-1", line)
					ok, notice := m.do(by, cmd, user, arg)
					if (reply.Status == 200) != ok {
						t.Fatalf("%s answered %d %s\n%s", history, reply.Status, reply.Reason, m.String())
					}
					if got := shown(t, reg); got != m.String() {
						t.Fatalf("%s\n got %s\nwant %s", history, got, m.String())
					}
					if notice != "" {
						notified := m.members()
						if !m.exists {
							notified = before
						}
						for _, u := range notified {
							if got := w.read(u); !slices.Contains(got, "chat-1: "+notice) {
								t.Fatalf("%s%s did not get %q but %q", history, u, notice, got)
							}
						}
					}
					st.check(t)
				}
			})
		})
	}
}

// check checks the invariants of the store.
func (st *memStore) check(t *testing.T) {
	t.Helper()
	st.mu.Lock()
	defer st.mu.Unlock()
	for name, r := range st.rooms {
		owners, joined := 0, 0
		for _, m := range r.members {
			switch m.Role {
			case imc.Owner:
				owners++
				joined++
			case imc.Plain, imc.Admin:
				joined++
			}
		}
		if owners != 1 || joined == 0 {
			t.Fatalf("%s has %d owners and %d members in the store", name, owners, joined)
		}
	}
}
