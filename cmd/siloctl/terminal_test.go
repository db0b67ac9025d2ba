package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/mi"
)

func TestAskedOnATerminal(t *testing.T) {
	f := newFake()
	socket := daemon(t, f.commands())
	for _, tt := range []struct {
		answer string
		code   int
		left   int
	}{{"\n", exitRefused, 3}, {"n\n", exitRefused, 3}, {"Yes\n", exitDone, 2}} {
		term := startTerminal(t, 80, "--socket", socket, "messages", "delete", "1")
		term.expect("Delete message 1? [y/N] ")
		term.typed(tt.answer)
		if code := term.exit(); code != tt.code {
			t.Errorf("%q exits %d, want %d:\n%s", tt.answer, code, tt.code, term.text())
		}
		f.mu.Lock()
		if len(f.messages) != tt.left {
			t.Errorf("%q leaves %d messages, want %d", tt.answer, len(f.messages), tt.left)
		}
		f.mu.Unlock()
	}
}

func TestInterruptedWhileAsked(t *testing.T) {
	f := newFake()
	socket := daemon(t, f.commands())
	term := startTerminal(t, 80, "--socket", socket, "messages", "delete", "1")
	term.expect("[y/N] ")
	term.typed("\x03")
	if code := term.exit(); code != exitInterrupted {
		t.Errorf("exit %d:\n%s", code, term.text())
	}
	term = startTerminal(t, 80, "--socket", socket, "users", "add", "dan@example.org")
	term.expect("password for")
	term.typed("secr\x03")
	if code := term.exit(); code != exitInterrupted || strings.Contains(term.text(), "secr") {
		t.Errorf("exit %d:\n%s", code, term.text())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.messages) != 3 || len(f.users) != 1 {
		t.Errorf("there are %d messages and %d users", len(f.messages), len(f.users))
	}
}

func TestPasswordIsNotShown(t *testing.T) {
	f := newFake()
	socket := daemon(t, f.commands())
	term := startTerminal(t, 80, "--socket", socket, "users", "add", "dan@example.org")
	term.secret("password for dan@example.org: ", "correct horse\n")
	term.secret("repeat the password: ", "correct horse\n")
	if code := term.exit(); code != exitDone || strings.Contains(term.text(), "horse") {
		t.Errorf("exit %d:\n%s", code, term.text())
	}
	f.mu.Lock()
	if f.users["sip:dan@example.org"] != "correct horse" {
		t.Errorf("the password is %q", f.users["sip:dan@example.org"])
	}
	f.mu.Unlock()

	term = startTerminal(t, 80, "--socket", socket, "users", "passwd", "dan@example.org")
	term.secret("password for dan@example.org: ", "one\n")
	term.secret("repeat the password: ", "two\n")
	if code := term.exit(); code != exitRefused || !strings.Contains(term.text(), "the two passwords differ: nothing was done") {
		t.Errorf("exit %d:\n%s", code, term.text())
	}
}

func TestTableFitsTheTerminal(t *testing.T) {
	t.Setenv("PAGER", "")
	socket := daemon(t, newFake().commands())
	term := startTerminal(t, 60, "--socket", socket, "messages", "list")
	if code := term.exit(); code != exitDone {
		t.Fatalf("exit %d:\n%s", code, term.text())
	}
	for line := range strings.SplitSeq(term.text(), "\n") {
		if columnsOf(line) > 60 {
			t.Errorf("%d columns: %s", columnsOf(line), line)
		}
	}
	if !strings.Contains(term.text(), "…") || !strings.Contains(term.text(), "STUCK") {
		t.Errorf("the table is\n%s", term.text())
	}
}

func TestPager(t *testing.T) {
	f := newFake()
	f.messages = nil
	for i := range 5000 {
		f.messages = append(f.messages, message{id: int64(i), owner: "sip:bob@example.org"})
	}
	socket := daemon(t, f.commands())
	t.Setenv("PAGER", "sed 's/^/> /'")
	term := startTerminal(t, 80, "--socket", socket, "messages", "list")
	if code := term.exit(); code != exitDone || strings.Count(term.text(), "\n> ") != 5000 {
		t.Errorf("exit %d, %d lines through the pager", code, strings.Count(term.text(), "\n> "))
	}
	t.Setenv("PAGER", "head -n 2") // a pager that ends early
	term = startTerminal(t, 80, "--socket", socket, "messages", "list")
	if code := term.exit(); code != exitDone || strings.Count(term.text(), "\n") != 2 {
		t.Errorf("exit %d:\n%s", code, term.text())
	}
	t.Setenv("PAGER", "false")
	term = startTerminal(t, 80, "--socket", socket, "rooms", "list")
	if code := term.exit(); code != exitRefused || !strings.Contains(term.text(), "set PAGER= to print without one") {
		t.Errorf("exit %d:\n%s", code, term.text())
	}
	t.Setenv("PAGER", "")
	term = startTerminal(t, 80, "--socket", socket, "messages", "list", "--user", "bob@example.org")
	if code := term.exit(); code != exitDone || strings.Count(term.text(), "\n") != 5001 {
		t.Errorf("exit %d, %d lines without a pager", code, strings.Count(term.text(), "\n"))
	}
}

func TestTop(t *testing.T) {
	// Each sample has a thousand deliveries more, ten of them slow.
	looks := int64(0)
	commands := append(newFake().commands(), mi.Command{
		Name: "latencies", Run: func(context.Context, *mi.Request) (*mi.Node, error) {
			looks++
			n := &mi.Node{List: true}
			l := n.Add("LATENCY", "delivery", mi.Attr{Name: "count", Value: looks * 1000}, mi.Attr{Name: "seconds", Value: 1.5})
			l.Add("AT_MOST", 0.01, mi.Attr{Name: "count", Value: looks * 980})
			l.Add("AT_MOST", 1.0, mi.Attr{Name: "count", Value: looks * 1000})
			return n, nil
		},
	}, mi.Command{
		Name: "busiest", MaxArgs: 1, Follows: true, Run: func(ctx context.Context, _ *mi.Request) (*mi.Node, error) {
			return &mi.Node{List: true, Stream: func(yield func(*mi.Node, error) bool) {
				n := &mi.Node{Name: "INTERVAL"}
				n.Add("ROOM", "sip:chat-1@example.org", mi.Attr{Name: "said", Value: 3})
				n.Add("MAILBOX", "sip:bob@example.org", mi.Attr{Name: "stored", Value: 7})
				for ctx.Err() == nil && yield(n, nil) {
					select {
					case <-ctx.Done():
					case <-time.After(50 * time.Millisecond):
					}
				}
			}}, nil
		},
	})
	socket := daemon(t, commands)
	term := startTerminal(t, 80, "--socket", socket, "top", "--every", "100ms")
	term.expect("STATISTIC") // top itself runs commands, which are counted
	term.expect("mi:commands")
	term.expect("delivery  5.1ms       505ms")
	term.expect("mailbox  bob@example.org              7")
	term.expect("room     chat-1@example.org           3")
	term.typed("\x03")
	if code := term.exit(); code != exitDone || !strings.HasSuffix(term.text(), "\x1b[?25h") {
		t.Errorf("exit %d, the cursor is still hidden:\n%q", code, term.text())
	}
	term = startTerminal(t, 80, "--socket", socket, "stats", "--watch", "--every", "100ms", "mi:")
	term.expect("PER SECOND")
	term.expect("+")
	term.typed("\x03")
	if code := term.exit(); code != exitDone {
		t.Errorf("exit %d", code)
	}
}

func TestPurgeShowsProgress(t *testing.T) {
	f := newFake()
	f.messages = nil
	for i := range 2000 {
		f.messages = append(f.messages, message{id: int64(i), owner: "sip:bob@example.org"})
	}
	socket := daemon(t, f.commands())
	term := startTerminal(t, 80, "--socket", socket, "messages", "purge", "--all", "--rate", "4000")
	term.expect("Delete 2000 stored messages for good? [y/N] ")
	term.typed("y\n")
	term.expect("of 2000 deleted")
	if code := term.exit(); code != exitDone || !strings.Contains(term.text(), "deleted 2000 messages\n") {
		t.Errorf("exit %d:\n%s", code, term.text())
	}
}

// TestCopyShowsProgress also interrupts a copy and continues it with the same command.
func TestCopyShowsProgress(t *testing.T) {
	dir := t.TempDir()
	var rows strings.Builder
	rows.WriteString("id(int,auto) src_addr(string) dst_addr(string) username(string) domain(string) inc_time(int) exp_time(int) " +
		"snd_time(int) ctype(string) body(string,null) extra_hdrs(string,null) callid(string) status(int)\n")
	const n = 20_000
	for i := range n {
		fmt.Fprintf(&rows, "%d:sip\\:a@example.org:sip\\:b@example.org:b:example.org:1795262400:1795521600:0:text/plain:hello:::0\n", i+1)
	}
	if err := os.WriteFile(filepath.Join(dir, "silo"), []byte(rows.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	from, to := "text:"+dir, "sqlite:"+filepath.Join(dir, "to.db")
	term := startTerminal(t, 80, "db", "copy", from, to)
	term.expect(fmt.Sprintf(" of %d messages", n))
	term.typed("\x03")
	if code := term.exit(); code != exitInterrupted || !strings.Contains(term.text(), "run the same command again to continue") {
		t.Fatalf("exit %d:\n%s", code, term.text())
	}
	term = startTerminal(t, 80, "db", "copy", from, to)
	if code := term.exit(); code != exitDone || !strings.Contains(term.text(), fmt.Sprintf("%9d messages\n", n)) {
		t.Errorf("exit %d:\n%s", code, term.text())
	}
}

// TestListsStream checks that entries are written before the whole list has arrived.
func TestListsStream(t *testing.T) {
	for _, output := range []string{"json", "table", "mi"} {
		t.Run(output, func(t *testing.T) {
			more, seen := make(chan struct{}), make(chan struct{})
			socket := daemon(t, []mi.Command{{Name: "silo_list", Args: "[owner]", MaxArgs: 1, Run: func(ctx context.Context, _ *mi.Request) (*mi.Node, error) {
				return &mi.Node{List: true, Stream: func(yield func(*mi.Node, error) bool) {
					for i := range 2000 {
						if i == 1000 {
							<-more
						}
						if !yield(&mi.Node{Name: "MESSAGE", Attrs: cells("id", i, "owner", "sip:bob@example.org")}, nil) {
							return
						}
					}
				}}, nil
			}}})
			out := &watched{at: 10_000, seen: seen}
			go func() {
				select {
				case <-seen:
				case <-t.Context().Done():
				}
				close(more)
			}()
			var stderr bytes.Buffer
			if code := run(t.Context(), []string{"--socket", socket, "-o", output, "messages", "list"}, strings.NewReader(""), out, &stderr); code != exitDone {
				t.Fatalf("exit %d: %s", code, stderr.String())
			}
			if n := bytes.Count(out.buf.Bytes(), []byte("sip:bob")); n != 2000 {
				t.Errorf("%d entries, want 2000", n)
			}
		})
	}
}

// watched is a writer that closes seen after a number of bytes.
type watched struct {
	buf  bytes.Buffer
	at   int
	seen chan struct{}
	once sync.Once
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.buf.Write(p)
	if w.buf.Len() > w.at {
		w.once.Do(func() { close(w.seen) })
	}
	return n, err
}

// TestBrokenListIsNotJSON checks that a list that ends early does not look complete.
func TestBrokenListIsNotJSON(t *testing.T) {
	socket := daemon(t, []mi.Command{{Name: "silo_list", Args: "[owner]", MaxArgs: 1, Run: func(context.Context, *mi.Request) (*mi.Node, error) {
		return &mi.Node{List: true, Stream: func(yield func(*mi.Node, error) bool) {
			for i := range 5000 {
				if !yield(&mi.Node{Attrs: cells("id", i)}, nil) {
					return
				}
			}
			yield(nil, fmt.Errorf("the disk is gone"))
		}}, nil
	}}})
	var out, stderr bytes.Buffer
	code := run(t.Context(), []string{"--socket", socket, "-o", "json", "messages", "list"}, strings.NewReader(""), &out, &stderr)
	if code != exitRefused && code != exitUnreachable || stderr.Len() == 0 || strings.HasSuffix(out.String(), "]\n") {
		t.Errorf("exit %d, %q, output ends in %q", code, stderr.String(), out.String()[max(0, out.Len()-20):])
	}
}

// TestTableFold: on a terminal the last column of a check continues in further lines, and no word of
// it is cut; elsewhere each row is a line.
func TestTableFold(t *testing.T) {
	t.Parallel()
	for width, want := range map[int]string{
		0: "TABLE  ROWS  STATE\nsilo      3  ok, one row; ALTER TABLE a_long_name_of_a_table; two\nx         4  ok\n",
		40: "TABLE  ROWS  STATE\nsilo      3  ok, one row;\n             ALTER TABLE\n             a_long_name_of_a_table;\n             two\n" +
			"x         4  ok\n",
		20: "TABLE  ROWS  STATE\nsilo      3  ok, one\n             row;\n             ALTER\n             TABLE\n             a_long_name_of_a_table;\n" +
			"             two\nx         4  ok\n",
	} {
		var out strings.Builder
		tab := table{w: &out, width: width, fold: true}
		for _, r := range []struct {
			table string
			rows  int64
			state string
		}{{"silo", 3, "ok, one row; ALTER TABLE a_long_name_of_a_table; two"}, {"x", 4, "ok"}} {
			err := tab.add([]mi.Attr{{Name: "table", Value: r.table}, {Name: "rows", Value: r.rows}, {Name: "state", Value: r.state}})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := tab.flush(); err != nil || out.String() != want {
			t.Errorf("width %d: got\n%swant\n%s%v", width, out.String(), want, err)
		}
	}
}
