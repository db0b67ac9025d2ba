package imc_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"silod/imc"
)

// TestScripts runs the scripts in testdata. Their lines:
//
//	config KEY VALUE            a setting, at the beginning
//	alice -> chat-1: TEXT       alice sends a text; \r and \n are the control characters
//	alice -> chat-1 [TYPE]: X   alice sends a body of another type
//	alice -> chat-1 (To chat-2): X   with chat-2 in To
//	?zoe@far.test -> chat-1: X  from a sender that is not authenticated
//	    = 500 REASON (CODE)     the answer to the request; default: 200 OK (1)
//	    chat-1 -> bob: TEXT     a message caused by it; "..." at the end matches any text.
//	                            No other messages may be sent
//	offline bob, online bob     the device of bob goes and comes
//	dead bob                    the Outbox refuses messages for bob
//	restart, crash              the daemon is restarted, or killed and started
//	wait 2h                     time passes
//	# ...                       a comment
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := parseScript(t, file, string(text))
			within(t, s.change, s.play)
		})
	}
}

type script struct {
	config map[string]string
	steps  []*step
}

// step is a line that does something, with the expected results.
type step struct {
	at     string // file:line
	words  string
	reply  string
	expect map[string][]string // by user
}

func parseScript(t *testing.T, file, text string) *script {
	s := &script{config: map[string]string{}}
	for i, line := range strings.Split(text, "\n") {
		at := fmt.Sprintf("%s:%d", file, i+1)
		trimmed := strings.TrimSpace(line)
		indented := strings.HasPrefix(line, " ")
		last := &step{}
		if n := len(s.steps); n > 0 {
			last = s.steps[n-1]
		}
		switch key, rest, _ := strings.Cut(trimmed, " "); {
		case trimmed == "" || trimmed[0] == '#':
		case indented && key == "=":
			last.reply = rest
		case indented:
			from, rest, ok1 := strings.Cut(trimmed, " -> ")
			to, said, ok2 := strings.Cut(rest, ": ")
			if !ok1 || !ok2 || last.expect == nil {
				t.Fatalf("%s: cannot read %q", at, line)
			}
			last.expect[to] = append(last.expect[to], from+": "+strings.NewReplacer(`\n`, "\n", `\r`, "\r").Replace(said))
		case key == "config":
			k, v, _ := strings.Cut(rest, " ")
			s.config[k] = v
		default:
			s.steps = append(s.steps, &step{at: at, words: trimmed, expect: map[string][]string{}})
		}
	}
	return s
}

func (s *script) change(c *imc.Config) {
	number := func(v string) int { n, _ := strconv.Atoi(v); return n }
	length := func(v string) time.Duration { d, _ := time.ParseDuration(v); return d }
	for k, v := range s.config {
		switch k {
		case "create_on_join":
			c.CreateOnJoin = v == "1"
		case "check_on_create":
			c.CheckOnCreate = v == "1"
		case "echo":
			c.Echo = v == "1"
		case "creators":
			c.Creators = strings.Fields(v)
		case "manager":
			c.Manager = v
		case "owner_leave":
			c.OwnerLeave = v
		case "start_char":
			c.StartChar = v
		case "room_pattern":
			c.RoomPattern = v
		case "catch_up_max":
			c.CatchUpMax = number(v)
		case "open_history":
			c.OpenHistory = v
		case "max_members":
			c.MaxMembers = number(v)
		case "max_rooms":
			c.MaxRooms = number(v)
		case "max_rooms_per_user":
			c.MaxRoomsPerUser = number(v)
		case "max_rate":
			c.MaxRate = number(v)
		case "history":
			c.History = length(v)
		case "catch_up":
			c.CatchUp = length(v)
		case "pause_after":
			c.PauseAfter = length(v)
		default:
			if key, ok := strings.CutPrefix(k, "texts."); ok {
				if c.Texts == nil {
					c.Texts = map[string]string{}
				}
				c.Texts[key] = v
				continue
			}
			panic("no such key: " + k)
		}
	}
}

func (s *script) play(w *world) {
	for _, st := range s.steps {
		st.play(w)
		if w.t.Failed() {
			w.t.FailNow()
		}
	}
}

func (st *step) play(w *world) {
	w.t.Helper()
	verb, rest, _ := strings.Cut(st.words, " ")
	switch verb {
	case "offline":
		w.offline.Store(rest, true)
	case "online":
		w.online(rest)
		w.settleDown()
	case "dead":
		w.dead[rest] = true
	case "restart":
		w.restart()
		w.settleDown()
	case "crash":
		w.crash()
		w.settleDown()
	case "wait":
		d, err := time.ParseDuration(rest)
		if err != nil {
			w.t.Fatalf("%s: %v", st.at, err)
		}
		time.Sleep(d)
		w.settleDown()
	default:
		st.request(w)
	}
	st.check(w)
}

func (st *step) request(w *world) {
	w.t.Helper()
	from, rest, ok1 := strings.Cut(st.words, " -> ")
	named := ""
	if to, more, found := strings.Cut(rest, " (To "); found {
		named, rest, _ = strings.Cut(more, "):")
		rest = to + ":" + rest
	}
	to, said, ok2 := strings.Cut(rest, ":")
	if !ok1 || !ok2 {
		w.t.Fatalf("%s: cannot read %q", st.at, st.words)
	}
	ctype := "text/plain"
	if room, t, typed := strings.Cut(to, " ["); typed {
		to, ctype = room, strings.TrimSuffix(t, "]")
	}
	said = strings.NewReplacer(`\n`, "\n", `\r`, "\r", `\u202e`, "\u202e", `\u2028`, "\u2028").Replace(strings.TrimPrefix(said, " "))
	req := w.message(from, to, ctype, said)
	if named != "" {
		req.To = named
	}
	reply := w.handle(req)
	got, want := fmt.Sprintf("%d %s (%d)", reply.Status, reply.Reason, reply.Code), st.reply
	if want == "" {
		want = "200 OK (1)"
	}
	if got != want {
		w.t.Errorf("%s: %s\n got = %s\nwant = %s", st.at, st.words, got, want)
	}
}

// check compares the messages that users have received with the expected ones.
func (st *step) check(w *world) {
	w.t.Helper()
	users := map[string]bool{}
	for u := range st.expect {
		users[u] = true
	}
	for u := range w.inbox {
		users[u] = true
	}
	for u := range users {
		got, want := w.read(u), st.expect[u]
		same := slices.EqualFunc(got, want, func(g, x string) bool {
			if head, open := strings.CutSuffix(x, "..."); open {
				return strings.HasPrefix(g, head)
			}
			return g == x
		})
		if !same {
			w.t.Errorf("%s: %s\n%s got:\n%s\nwant:\n%s", st.at, st.words, u, indent(got), indent(want))
		}
	}
}

func indent(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString("    " + strings.ReplaceAll(l, "\n", `\n`) + "\n")
	}
	return b.String()
}
