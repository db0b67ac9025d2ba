package db

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"silod/db/dbtest"
	"silod/imc"
	"silod/sip"
)

// TestTextMode: a changed file keeps its mode and its links, and new files get the mode of the others.
func TestTextMode(t *testing.T) {
	t.Parallel()
	dir, elsewhere := textDir(t, kamailioText), t.TempDir()
	for name := range kamailioText {
		if err := os.Chmod(filepath.Join(dir, name), 0o664); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Rename(filepath.Join(dir, "silo"), filepath.Join(elsewhere, "messages")),
		os.Symlink(filepath.Join(elsewhere, "messages"), filepath.Join(dir, "silo")),
		os.Symlink(filepath.Join(elsewhere, "users"), filepath.Join(dir, "subscriber")), // does not exist
		os.Link(filepath.Join(dir, "imc_members"), filepath.Join(elsewhere, "members")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	db := open(t, "text:"+dir, Options{Domains: sip.NewDomains("example.org")})
	m := text("x")
	m.Headers = []sip.Header{{Name: "X", Value: strings.Repeat("y", 3000)}}
	add(t, db.Messages(), m)
	apply(t, db.Rooms(), imc.Change{Room: imc.Room{AoR: room1}, Put: []imc.Member{{User: bob, Role: imc.Plain}}})
	closeDB(t, db)
	for _, name := range []string{"silo", "silod_meta", "imc_members", "silod_room", "location_attrs", "subscriber"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode() != 0o664 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	for _, name := range []string{"silo", "subscriber"} {
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || info.Mode().Type() != fs.ModeSymlink {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if a, b := readText(t, dir, "imc_members"), readText(t, elsewhere, "members"); a != b || !strings.Contains(a, ":bob:") {
		t.Errorf("imc_members is\n%s\nand its other name\n%s", a, b)
	}
	for _, d := range []string{dir, elsewhere} {
		for _, e := range ls(t, d) {
			if strings.HasPrefix(e.Name(), ".silod-") {
				t.Errorf("%s is left", e.Name())
			}
		}
	}
}

// TestTextLeftovers: a start removes the files that a killed silod has left, and no others, and
// completes a write over a table.
func TestTextLeftovers(t *testing.T) {
	t.Parallel()
	dir := textDir(t, kamailioText)
	complete := kamailioText["imc_rooms"] + "2:chat-2:example.org:0\n"
	for name, text := range map[string]string{
		".silod-123456789": "x", ".silod-new-silo": "half", ".silod-notes": "mine", ".silod-new-notes": "mine", "123": "mine",
		".silod-redo-imc_rooms": complete, "imc_rooms": complete[:60] + "torn",
	} {
		writeText(t, dir, name, text)
	}
	closeDB(t, open(t, "text:"+dir, Options{}))
	got := states(t, dir)
	for name, want := range map[string]string{
		".silod-123456789": "", ".silod-new-silo": "", ".silod-redo-imc_rooms": "", ".silod-notes": "mine", ".silod-new-notes": "mine", "123": "mine",
		"imc_rooms": complete, "silo": kamailioText["silo"],
	} {
		if got[name].text != want {
			t.Errorf("%s is %q, want %q", name, got[name].text, want)
		}
	}
	// Not over a table that was changed long after.
	writeText(t, dir, ".silod-redo-imc_rooms", complete)
	writeText(t, dir, "imc_rooms", kamailioText["imc_rooms"])
	old := time.Now().Add(-time.Minute)
	if err := os.Chtimes(filepath.Join(dir, ".silod-redo-imc_rooms"), old, old); err != nil {
		t.Fatal(err)
	}
	refused(t, "text:"+dir, Options{})
	if got := readText(t, dir, "imc_rooms"); got != kamailioText["imc_rooms"] {
		t.Errorf("imc_rooms is\n%s", got)
	}
}

// TestTextForeignChange: rows that another program adds to a file or removes from it while silod
// runs are kept and used.
func TestTextForeignChange(t *testing.T) {
	t.Parallel()
	dir := textDir(t, map[string]string{"silo": siloHead + siloRow(1, "a") + siloRow(2, "b") + siloRow(3, "c")})
	db := open(t, "text:"+dir, Options{Domains: sip.NewDomains("example.org")})
	st := db.Messages()
	// b is removed, c is changed, d is added twice.
	writeText(t, dir, "silo", siloHead+siloRow(4, "d")+siloRow(1, "a")+siloRow(3, "C")+siloRow(4, "d"))
	ours := text("ours")
	add(t, st, ours)
	if got := bodies(next(t, st, 0, 9)); got != "a d C d ours" {
		t.Errorf("messages: %s", got)
	}
	want := siloHead + siloRow(4, "d") + siloRow(1, "a") + siloRow(3, "C") + siloRow(4, "d")
	if got := readText(t, dir, "silo"); !strings.HasPrefix(got, want+fmt.Sprint(ours.ID)+":") {
		t.Errorf("silo is\n%s", got)
	}
	for _, m := range next(t, st, 0, 9) {
		remove(t, st, m.ID)
	}
	if got := readText(t, dir, "silo"); got != siloHead {
		t.Errorf("silo is\n%s", got)
	}

	// A file that cannot be merged is left as it is, and the write is refused.
	other := "id(int,auto) src_addr(string)\n1:x\n"
	writeText(t, dir, "silo", other)
	if err := st.Add(t.Context(), text("refused")); err == nil || !strings.Contains(err.Error(), "another program has changed the file") {
		t.Errorf("Add: %v", err)
	}
	if got := readText(t, dir, "silo"); got != other {
		t.Errorf("silo is\n%s", got)
	}
	// A file that has been removed is written again.
	if err := os.Remove(filepath.Join(dir, "silo")); err != nil {
		t.Fatal(err)
	}
	add(t, st, text("again"))
	if got := readText(t, dir, "silo"); !strings.HasPrefix(got, siloHead) || !strings.Contains(got, ":again:") {
		t.Errorf("silo is\n%s", got)
	}
}

// TestTextWriteFails: a write that fails changes no file, and the next one is complete.
func TestTextWriteFails(t *testing.T) {
	t.Parallel()
	dir := textDir(t, kamailioText)
	db := open(t, "text:"+dir, Options{Domains: sip.NewDomains("example.org")})
	before := states(t, dir)
	// silo is written after silod_meta.
	blocked := filepath.Join(dir, ".silod-new-silo")
	if err := os.MkdirAll(filepath.Join(blocked, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	m := text("x")
	m.Headers = []sip.Header{{Name: "X", Value: strings.Repeat("y", 3000)}}
	if err := db.Messages().Add(context.Background(), m); err == nil {
		t.Fatal("stored")
	}
	after := states(t, dir)
	for name, was := range before {
		if after[name] != was {
			t.Errorf("%s was %+v, is %+v", name, was, after[name])
		}
	}
	if err := os.RemoveAll(blocked); err != nil {
		t.Fatal(err)
	}
	add(t, db.Messages(), m)
	closeDB(t, db)
	db = open(t, "text:"+dir, Options{Domains: sip.NewDomains("example.org")})
	got, err := db.Messages().Get(t.Context(), m.ID)
	if err != nil || !reflect.DeepEqual(got.Message, m.Message) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestTextDiskFull: on a full disk a write is refused and the files stay whole, also a file that is
// overwritten in its place.
func TestTextDiskFull(t *testing.T) {
	t.Parallel()
	for _, links := range []int{1, 2} {
		dir := t.TempDir()
		dbtest.SmallDisk(t, dir, "1")
		for name, text := range kamailioText {
			writeText(t, dir, name, text)
		}
		if links == 2 {
			if err := os.Link(filepath.Join(dir, "silo"), filepath.Join(dir, "messages")); err != nil {
				t.Fatal(err)
			}
		}
		db := open(t, "text:"+dir, Options{Domains: sip.NewDomains("example.org")})
		st := db.Messages()
		var stored []string
		for i := 0; ; i++ {
			m := text(fmt.Sprint(i, strings.Repeat(".", 9000)))
			if err := st.Add(t.Context(), m); err != nil {
				break
			}
			stored = append(stored, string(m.Body))
		}
		check := func(db *DB) {
			t.Helper()
			ms := next(t, db.Messages(), 9, 1000)
			if len(ms) != len(stored) || len(ms) < 5 {
				t.Fatalf("%d messages, %d stored", len(ms), len(stored))
			}
			for i, m := range ms {
				if string(m.Body) != stored[i] {
					t.Errorf("message %d is %.20q", i, m.Body)
				}
			}
		}
		check(db)
		closeDB(t, db)
		for _, e := range ls(t, dir) {
			if strings.HasPrefix(e.Name(), ".silod-") {
				t.Errorf("%s is left", e.Name())
			}
		}
		db = open(t, "text:"+dir, Options{Domains: sip.NewDomains("example.org")})
		check(db)
	}
}
