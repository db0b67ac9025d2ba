package mi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC // the golden files have local times
	os.Exit(m.Run())
}

// sampleCommands returns commands with replies of the same forms as real ones.
func sampleCommands() []Command {
	room := func(uri string) *Node {
		return &Node{Name: "ROOM", Attrs: attrs("URI", uri, "MEMBERS", 2, "OWNER", "sip:alice@example.test")}
	}
	return []Command{
		{Name: "imc_list_rooms", Aliases: []string{"imc.list_rooms"}, Args: "[LIMIT]", Help: "Lists the rooms.", Run: func(_ context.Context, req *Request) (*Node, error) {
			rooms := []*Node{room("sip:chat-001@example.test"), room("sip:chat-002@example.test")}
			switch req.Dialect {
			case Kamailio:
				n := &Node{List: true}
				for _, r := range rooms {
					n.Add("", nil, attrs("room", r.Attrs[0].Value, "members", 2, "owner", "sip:alice@example.test")...)
				}
				return n, nil
			case OpenSIPS:
				return &Node{Nodes: []*Node{{Name: "ROOMS", List: true, Nodes: rooms}}}, nil
			}
			return &Node{List: true, Nodes: rooms}, nil
		}},
		{Name: "imc_list_members", Aliases: []string{"imc.list_members"}, Args: "ROOM", MinArgs: 1, MaxArgs: 1, Help: "Lists a room's members.", Run: func(_ context.Context, req *Request) (*Node, error) {
			uri := req.Arg(0)
			if uri != "sip:chat-001@example.test" {
				return nil, Errorf(404, "no such room")
			}
			n := &Node{}
			members := &Node{List: true}
			for _, m := range []string{"sip:alice@example.test", "sip:bob@example.test"} {
				members.Add("MEMBER", m)
			}
			switch req.Dialect {
			case Kamailio:
				n.Add("room", uri)
				members.Name = "members"
				n.Nodes = append(n.Nodes, members)
				n.Add("count", 2)
			case OpenSIPS:
				n.Add("ROOM", uri)
				members.Name = "MEMBERS"
				n.Nodes = append(n.Nodes, members)
				n.Add("NO_MEMBERS", 2)
			default:
				n.Add("ROOM", uri, attrs("NR_OF_MEMBERS", 2)...).Nodes = members.Nodes
			}
			return n, nil
		}},
		{Name: "ul_dump", Aliases: []string{"ul.dump"}, Args: "[BRIEF]", MaxArgs: 1, Help: "Lists the contacts.", Run: func(_ context.Context, req *Request) (*Node, error) {
			n := &Node{}
			if req.Dialect == Kamailio {
				list := n.Add("Domains", nil)
				list.List = true
				d := list.Add("", nil).Add("Domain", nil)
				d.Add("Domain", "location")
				d.Add("Size", 1024)
				aors := d.Add("AoRs", nil)
				aors.List = true
				info := aors.Add("", nil).Add("Info", nil)
				info.Add("AoR", "bob")
				contacts := info.Add("Contacts", nil)
				contacts.List = true
				contacts.Add("", nil).Add("Contact", nil, attrs("Address", "sip:bob@127.0.0.1", "Q", 0.5, "Expires", "permanent")...)
				d.Add("Stats", nil, attrs("Records", 1, "Max-Slots", 1)...)
				return n, nil
			}
			d := n.Add("Domain", "location", attrs("table", 1024, "records", 1)...)
			d.Add("AOR", "bob").Add("Contact", "sip:bob@127.0.0.1", attrs("Q", "")...).Add("Expires", 120)
			return n, nil
		}},
		{Name: "ul_rm", Aliases: []string{"ul.rm"}, Args: "TABLE AOR", MinArgs: 2, MaxArgs: 2, Writes: true, Help: "Removes an AoR.", Run: func(context.Context, *Request) (*Node, error) { return nil, nil }},
		{Name: "echo", Args: "WORD...", MaxArgs: -1, Help: "Gives its arguments back.", Run: func(_ context.Context, req *Request) (*Node, error) {
			n := &Node{List: true}
			for _, a := range req.Args {
				n.Add(a.Name, a.Value)
			}
			return n, nil
		}},
		{Name: "crash", Help: "Panics.", Run: func(context.Context, *Request) (*Node, error) { panic("oh") }},
		{Name: "rows", Args: "N [FAIL_AT]", MinArgs: 1, MaxArgs: 2, Help: "Streams N rows.", Run: rows},
	}
}

func attrs(pairs ...any) []Attr {
	var as []Attr
	for i := 0; i < len(pairs); i += 2 {
		as = append(as, Attr{Name: pairs[i].(string), Value: pairs[i+1]})
	}
	return as
}

// rows streams N rows and fails at row FAIL_AT.
func rows(ctx context.Context, req *Request) (*Node, error) {
	var n, failAt int
	if _, err := fmt.Sscan(req.Arg(0), &n); err != nil {
		return nil, Errorf(400, "Bad parameter")
	}
	failAt = -1
	_, _ = fmt.Sscan(req.Arg(1), &failAt)
	return &Node{List: true, Stream: func(yield func(*Node, error) bool) {
		for i := range n {
			switch {
			case ctx.Err() != nil:
				yield(nil, ctx.Err())
				return
			case i == failAt:
				yield(nil, errors.New("database is gone"))
				return
			}
			if !yield(&Node{Name: "ROW", Value: i, Attrs: attrs("text", strings.Repeat("x", 60))}, nil) {
				return
			}
		}
	}}, nil
}

func testRegistry() *Registry { return loggedRegistry(slog.DiscardHandler) }

func loggedRegistry(h slog.Handler) *Registry {
	r := NewRegistry(slog.New(h))
	c := &Core{Registry: r, Name: "silod", Version: "1.0.0", Started: time.Now(), Level: new(slog.LevelVar)}
	r.Add(c.Commands()...)
	r.Add(sampleCommands()...)
	return r
}

func call(t *testing.T, r *Registry, d Dialect, command string, args ...string) (*Node, error) {
	t.Helper()
	req := &Request{Command: command, Dialect: d, Peer: "test"}
	for _, a := range args {
		req.Args = append(req.Args, Arg{Value: a})
	}
	return r.Call(t.Context(), req)
}

func TestCallRefuses(t *testing.T) {
	r := testRegistry()
	for _, tc := range []struct {
		command string
		args    []string
		dialect Dialect
		want    error
	}{
		{command: "nosuch", want: ErrNoCommand},
		{command: "Imc_list_rooms", want: ErrNoCommand},
		{command: "", want: ErrNoCommand},
		{command: "imc_list_members", want: ErrArguments},
		{command: "imc_list_members", args: []string{"a", "b"}, want: ErrArguments},
		{command: "imc_list_members", args: []string{"a", "b"}, dialect: Kamailio, want: Errorf(404, "no such room")},
		{command: "imc.list_members", args: []string{"a"}, want: Errorf(404, "no such room")},
		{command: "ul.rm", args: []string{"a", "b", "c"}, dialect: Kamailio, want: ErrArguments}, // a change needs the exact number
		{command: "which", args: []string{"a", "b"}},
		{command: "crash", want: ErrFailed},
	} {
		_, err := call(t, r, tc.dialect, tc.command, tc.args...)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s %q: got %v, want %v", tc.command, tc.args, err, tc.want)
		}
	}
}

func TestCallBindsNames(t *testing.T) {
	for _, tc := range []struct {
		usage    string
		min, max int
		dialect  Dialect
		args     []Arg
		want     string
	}{
		{"TABLE AOR", 2, 2, OpenSIPS, []Arg{{"aor", "b"}, {"table", "a"}}, "[{table a} {aor b}]"},
		{"TABLE AOR", 2, 2, OpenSIPS, []Arg{{"AOR", "b"}, {"Table", "a"}}, "[{Table a} {AOR b}]"},
		{"TABLE AOR", 2, 2, OpenSIPS, []Arg{{"", "a"}, {"", "b"}}, "[{ a} { b}]"},
		{"TABLE AOR", 2, 2, OpenSIPS, []Arg{{"aor", "b"}}, "400 Too few or too many arguments"},
		{"[A] [B] [C]", 0, 3, Native, []Arg{{"c", "3"}}, "[{ } { } {c 3}]"},
		{"NAME...", 1, -1, OpenSIPS, []Arg{{"name", "1"}, {"name", "2"}}, "[{name 1} {name 2}]"},
		{"A B", 2, 2, OpenSIPS, []Arg{{"x", "1"}, {"a", "2"}}, "[{x 1} {a 2}]"}, // the command may know x
		{"TABLE AOR", 2, 2, Kamailio, []Arg{{"aor", "b"}, {"table", "a"}}, "[{aor b} {table a}]"},
		{"TABLE AOR", 2, 2, Classic, []Arg{{"aor", "b"}, {"table", "a"}}, "[{aor b} {table a}]"},
	} {
		cmd := Command{Args: tc.usage, MinArgs: tc.min, MaxArgs: tc.max}
		req := &Request{Args: tc.args, Dialect: tc.dialect}
		bound, err := bind(&cmd, req)
		got := fmt.Sprint(err)
		if err == nil {
			got = fmt.Sprint(bound.Args)
		}
		if got != tc.want {
			t.Errorf("%s in dialect %d, %v: got %s, want %s", tc.usage, tc.dialect, tc.args, got, tc.want)
		}
	}
}

func TestAddRefusesNamesTwice(t *testing.T) {
	run := func(context.Context, *Request) (*Node, error) { return nil, nil }
	for _, c := range []Command{
		{Name: "which", Run: run}, {Name: "new", Aliases: []string{"core.version"}, Run: run}, {Run: run}, {Name: "new"},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was added", c.Name)
				}
			}()
			testRegistry().Add(c)
		}()
	}
}

// TestCallTime: a client gets a reply although its command does not end, and also while too
// many such commands run.
func TestCallTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(slog.New(slog.DiscardHandler))
		end := make(chan struct{})
		r.Add(
			Command{Name: "deaf", Run: func(context.Context, *Request) (*Node, error) { <-end; return nil, nil }},
			Command{Name: "short", Timeout: time.Second, Run: func(ctx context.Context, _ *Request) (*Node, error) {
				<-ctx.Done()
				time.Sleep(time.Hour)
				return nil, nil
			}},
			Command{Name: "quick", Run: func(context.Context, *Request) (*Node, error) { return nil, nil }},
		)
		start := time.Now()
		if _, err := call(t, r, Classic, "short"); !errors.Is(err, Errorf(504, "short did not finish within 1s")) || time.Since(start) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		var wg sync.WaitGroup
		var late atomic.Int32
		for range maxCalls - 1 { // short still has its slot
			wg.Go(func() {
				if _, err := call(t, r, Classic, "deaf"); errors.Is(err, Errorf(504, "deaf did not finish within 10s")) {
					late.Add(1)
				}
			})
		}
		synctest.Wait()
		if _, err := call(t, r, Classic, "quick"); !errors.Is(err, Errorf(503, "too many commands are running: try again")) {
			t.Errorf("with all slots taken: got %v", err)
		}
		wg.Wait()
		if late.Load() != maxCalls-1 {
			t.Errorf("%d of %d deaf commands were answered 504", late.Load(), maxCalls-1)
		}
		close(end)
		synctest.Wait()
		if _, err := call(t, r, Classic, "quick"); err != nil {
			t.Errorf("with free slots: %v", err)
		}
		time.Sleep(2 * time.Hour) // the command short ends
	})
}

// TestCallContext: the context of a streamed reply ends with the caller's, and that of any
// other with the command.
func TestCallContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(slog.New(slog.DiscardHandler))
		contexts := make(chan context.Context, 1)
		r.Add(
			Command{Name: "plain", Run: func(ctx context.Context, _ *Request) (*Node, error) {
				contexts <- ctx
				return &Node{}, nil
			}},
			Command{Name: "stream", Run: func(ctx context.Context, _ *Request) (*Node, error) {
				contexts <- ctx
				return &Node{Nodes: []*Node{{Stream: func(func(*Node, error) bool) {}}}}, nil
			}},
		)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for name, lives := range map[string]bool{"plain": false, "stream": true} {
			if _, err := r.Call(ctx, &Request{Command: name}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			seen := <-contexts
			if (seen.Err() == nil) != lives {
				t.Errorf("%s: after the call its context has %v", name, seen.Err())
			}
			defer func() {
				cancel()
				if seen.Err() == nil {
					t.Errorf("%s: its context outlives the caller's", name)
				}
			}()
		}
	})
}

// TestCallLogs: a change is logged with its peer and arguments, but without secrets.
func TestCallLogs(t *testing.T) {
	var out bytes.Buffer
	r := loggedRegistry(slog.NewTextHandler(&out, nil))
	ok := func(context.Context, *Request) (*Node, error) { return nil, nil }
	r.Add(
		Command{Name: "sub_add", Args: "AOR PASSWORD", MinArgs: 2, MaxArgs: 2, Writes: true, Run: ok},
		Command{Name: "send", Args: "TO TEXT", MinArgs: 2, MaxArgs: 2, Writes: true, Run: ok},
		Command{Name: "key", Args: "NAME VALUE...", Private: []string{"value"}, MaxArgs: -1, Writes: true, Run: ok},
		Command{Name: "undocumented", MaxArgs: -1, Writes: true, Run: ok},
		Command{Name: "broken", MaxArgs: -1, Run: func(context.Context, *Request) (*Node, error) { return nil, errors.New("disk on fire") }},
	)
	for _, tc := range []struct {
		call string
		want []string
	}{
		{"ul_rm location sip:a@b", []string{"command=ul_rm", "peer=test", `table=\"location\" aor=\"sip:a@b\"`}},
		{"sub_add bob hunter2", []string{"command=sub_add", `aor=\"bob\" password=(not logged)`}},
		{"send bob hunter2", []string{`to=\"bob\" text=(not logged)`}},
		{"key a hunter2 1", []string{`name=\"a\" value=(not logged) value=(not logged)`}},
		{"undocumented hunter2", []string{`?=(not logged)`}},
		{"broken hunter2", []string{"level=ERROR", "disk on fire"}},
		{"which hunter2", nil},
	} {
		out.Reset()
		f := strings.Fields(tc.call)
		_, _ = call(t, r, Classic, f[0], f[1:]...)
		for _, w := range tc.want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%s: log lacks %s: %s", tc.call, w, &out)
			}
		}
		if strings.Contains(out.String(), "hunter2") || tc.want == nil && out.Len() > 0 {
			t.Errorf("%s: log has a secret, or too much: %s", tc.call, &out)
		}
	}
}

func TestCallCounts(t *testing.T) {
	r := testRegistry()
	for _, c := range []string{"which", "which", "nosuch", "imc_list_members", "crash"} {
		_, _ = call(t, r, Classic, c)
	}
	// A slot may be released a moment after the reply.
	for end := time.Now().Add(10 * time.Second); len(r.slots) > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	got := map[string]int64{}
	for group, s := range r.Statistics() {
		got[group+":"+s.Name] = s.Value()
	}
	want := map[string]int64{"mi:commands": 5, "mi:refused_commands": 2, "mi:failed_commands": 1, "mi:running_commands": 0}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
