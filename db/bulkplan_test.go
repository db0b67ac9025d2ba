package db

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"silod/silo"
	"silod/sip"
)

// bulk runs everything that reads or deletes many messages.
func bulk(t *testing.T, db *DB) {
	t.Helper()
	ctx, st, now := t.Context(), &db.messages, time.Unix(1795262400+50, 0)
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	u1 := aor("u1@example.org")
	same := func(string) bool { return true }
	for _, q := range []silo.Query{
		{},
		{Both: true},
		{Owner: u1},
		{Owner: u1, Both: true, From: "sip:a@example.org"},
		{Owner: u1, Reminders: true},
		{Owner: u1, Stuck: true},
		{Reminders: true},
		{Stuck: true},
		{From: "sip:a@example.org", SameFrom: same},
		{Since: time.Unix(5, 0), Before: time.Unix(50, 0)},
	} {
		_, err := st.Tally(ctx, q)
		ok(err)
		for _, err := range st.List(ctx, q) {
			ok(err)
			break
		}
		_, err = st.Purge(ctx, q, 3)
		ok(err)
	}
	_, err := st.Purge(ctx, silo.Query{Copied: true}, 3)
	ok(err)
	pages := ownerPages{joinStuck, ` AND s.{snd} = 0 AND ` + alive + ` AND t.silo_id IS NULL`, []any{noon.Unix()}, nil, 1}
	if pages.canSkip(&db.layout) {
		_, _, err = pages.skip(ctx, st.reader, rowName{"a", "example.org"})
		ok(err)
	}
	_, err = st.Owners(ctx)
	ok(err)
	ok(st.Waiting(ctx, now, func(sip.AoR) {}))
	_, err = st.Usage(ctx, u1, "sip:a@example.org", false)
	ok(err)
	_, err = st.Usage(ctx, u1, "", true)
	ok(err)
	ok(st.UsageBySender(ctx, silo.Usage{}, func(string, silo.Usage) {}))
	insertAs(t, db, "later", "example.org", "x") // so that a look finds a row
	later(db)
	ok(st.spellings.look(ctx))
	rawExec(t, db, "INSERT INTO silod_device (silo_id, device, inc_time, refused) VALUES (9999999, '<urn:uuid:1>', 1, '')") // of a deleted message
	if n, err := st.Tidy(ctx); n == 0 || err != nil {
		t.Error(n, err)
	}
	m := fromStranger("one", 1)
	add(t, st, m)
	_, err = st.Charges(ctx)
	ok(err)
	ok(st.ReadMarks(ctx, []silo.Message{{ID: 8, Marked: true}}, nil))
	_, err = st.Marks(ctx, 8)
	ok(err)
	m.SendAt = time.Time{}
	ok(st.Release(ctx, []silo.Release{{Reminder: m.ID, Message: m}}))
}

// covered are the files with statements about messages.
var covered = []string{
	"messages.go", "messagelist.go", "walk.go", "purge.go", "tally.go", "owners.go", "senders.go", "usage.go", "spellings.go",
	"devices.go", "stranger.go", "reminders.go",
}

// uncovered are the statements that only Open runs.
var uncovered = []string{"SELECT 1 FROM silod_device LIMIT 1", "SELECT 1 FROM silod_stranger LIMIT 1"}

// checkCovered fails the test if a statement in the source was not among those that were checked.
func checkCovered(t *testing.T, db *DB, checked map[string]bool) {
	t.Helper()
	var all strings.Builder
	for text := range checked {
		all.WriteString(strings.Join(strings.Fields(text), " ") + "\n")
	}
	seen := all.String()
	if !db.layout.fragments.foldsNames() {
		seen += db.layout.bind("SELECT {distinct} ").text
	}
	for _, file := range covered {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			lit, isString := n.(*ast.BasicLit)
			if !isString || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			text, _, _ = strings.Cut(text, "%")
			for _, verb := range []string{"SELECT ", "DELETE ", "UPDATE ", "INSERT "} {
				bound := strings.Join(strings.Fields(db.layout.bind(text).text), " ")
				if strings.HasPrefix(text, verb) && !strings.Contains(seen, bound) && !slices.Contains(uncovered, bound) {
					t.Errorf("%s: no test has run and checked the statement %q", file, bound)
				}
			}
			return true
		})
	}
}
