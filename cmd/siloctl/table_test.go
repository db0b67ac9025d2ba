package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"silod/mi"
)

// A wide list of few values fits a terminal without the columns that say nothing.
func TestSparseTable(t *testing.T) {
	var out strings.Builder
	tb := &table{w: &out, sparse: true}
	for _, r := range [][]mi.Attr{
		cells("user", "alice", "muted", false, "until", "", "paused", false, "nick", "Al"),
		cells("user", "bob", "muted", false, "until", "", "paused", true, "nick", ""),
	} {
		if err := tb.add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := tb.flush(); err != nil {
		t.Fatal(err)
	}
	if want := "USER   PAUSED  NICK\nalice  no      Al\nbob    yes\n"; out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestTable(t *testing.T) {
	rows := [][]mi.Attr{
		cells("id", int64(9), "owner", "sip:bob@example.org", "private", false),
		cells("id", int64(1234), "owner", "sip:日本@example.org", "private", true, "stuck", "603 Decline\nreally"),
		cells("owner", "sip:c@example.org"),
	}
	for _, tt := range []struct {
		name  string
		width int
		hide  []string
		want  string
	}{
		{"as wide as it gets", 0, nil, `
  ID  OWNER                 PRIVATE  STUCK
   9  sip:bob@example.org   no
1234  sip:日本@example.org  yes      603 Decline really
      sip:c@example.org
`},
		{"on a narrow terminal", 40, nil, `
  ID  OWNER        PRIVATE  STUCK
   9  sip:bob@ex…  no
1234  sip:日本@e…  yes      603 Decline…
      sip:c@exam…
`},
		{"on one too narrow", 10, nil, `
  ID  OWNER     PRIVATE  STUCK
   9  sip:bob…  no
1234  sip:日…   yes      603 Dec…
      sip:c@e…
`},
		{"hidden columns", 0, []string{"owner", "stuck"}, `
  ID  PRIVATE
   9  no
1234  yes

`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			tb := &table{w: &out, width: tt.width, hide: tt.hide}
			for _, r := range rows {
				if err := tb.add(r); err != nil {
					t.Fatal(err)
				}
			}
			if err := tb.flush(); err != nil {
				t.Fatal(err)
			}
			if got := "\n" + out.String(); got != tt.want {
				t.Errorf("got%s\nwant%s", got, tt.want)
			}
		})
	}
}

// TestTableStreams checks that rows are written at once after the measured ones.
func TestTableStreams(t *testing.T) {
	var out strings.Builder
	tb := &table{w: &out}
	for i := range measured - 1 {
		if err := tb.add(cells("n", i)); err != nil {
			t.Fatal(err)
		}
	}
	if out.Len() > 0 {
		t.Fatal("written before anything was measured")
	}
	for i := range 2 {
		if err := tb.add(cells("n", measured-1+i, "late", "column")); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.HasSuffix(out.String(), fmt.Sprintf("\n%d  column\n%d  column\n", measured-1, measured)) || len(tb.rows) > 0 {
		t.Errorf("after row %d the output ends in %q", measured, out.String()[max(0, out.Len()-20):])
	}
	tb = &table{w: failing{}}
	if err := errors.Join(tb.add(cells("n", 1)), tb.flush()); !errors.Is(err, errFull) {
		t.Errorf("a writer that fails: %v", err)
	}
}

var errFull = errors.New("no space left")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }

func TestRowsOf(t *testing.T) {
	dump := &mi.Node{Name: "Domain", Value: "location", Attrs: cells("records", 2)}
	bob := dump.Add("AOR", "bob")
	c := bob.Add("Contact", "sip:bob@h", mi.Attr{Name: "Q", Value: "1.00"})
	c.Add("Expires", 60)
	c.Add("User-agent", "x")
	bob.Add("Contact", "sip:bob@g", mi.Attr{Name: "Q", Value: ""}).Add("Expires", 30)
	room := &mi.Node{Name: "ROOM", Value: "sip:chat-1@h", Attrs: cells("NR_OF_MEMBERS", 1)}
	members := &mi.Node{Name: "members", List: true}
	members.Add("MEMBER", "sip:al@h", mi.Attr{Name: "role", Value: "owner"})
	room.Nodes = append(room.Nodes, members)
	for _, tt := range []struct {
		name  string
		node  *mi.Node
		named bool
		want  string
	}{
		{"attributes", &mi.Node{Name: "ROOM", Attrs: cells("URI", "sip:c@h", "MEMBERS", 3)}, false, "[URI=sip:c@h MEMBERS=3]"},
		{"an object's entry", &mi.Node{Name: "help", Attrs: cells("args", "[MI_CMD]")}, true, "[name=help args=[MI_CMD]]"},
		{"a bare value", &mi.Node{Value: "uptime"}, false, "[value=uptime]"},
		{"a tree", dump, false, "[domain=location aor=bob contact=sip:bob@h Q=1.00 expires=60 user-agent=x]" +
			"[domain=location aor=bob contact=sip:bob@g Q= expires=30]"},
		{"a list in it", room, false, "[room=sip:chat-1@h member=sip:al@h role=owner]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got strings.Builder
			err := rowsOf(tt.node, tt.named, nil, func(row []mi.Attr) error {
				var cells []string
				for _, c := range row {
					cells = append(cells, fmt.Sprintf("%s=%v", c.Name, c.Value))
				}
				fmt.Fprint(&got, cells)
				return nil
			})
			if err != nil || got.String() != tt.want {
				t.Errorf("got %s, %v\nwant %s", got.String(), err, tt.want)
			}
		})
	}
}

func TestSparkline(t *testing.T) {
	if got := sparkline([]float64{0, 1, 4, 8, -1}); got != "▁▁▄█▁" {
		t.Errorf("sparkline is %s", got)
	}
}
