package db

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"silod/auth"
	"silod/db/dbtest"
	"silod/silo"
	"silod/sip"
)

// debianText copies the directory that Debian's Kamailio comes with.
func debianText(t testing.TB) string {
	t.Helper()
	const from = "/usr/share/kamailio/dbtext/kamailio"
	if _, err := os.Stat(from); err != nil {
		dbtest.Missing(t, from)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func ls(t testing.TB, dir string) []fs.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// A tableState is everything about a file that must not change with it.
type tableState struct {
	text  string
	inode uint64
	mtime time.Time
	mode  fs.FileMode
}

// states returns the states of the files in a directory.
func states(t testing.TB, dir string) map[string]tableState {
	t.Helper()
	out := map[string]tableState{}
	for _, e := range ls(t, dir) {
		if e.IsDir() {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = tableState{readText(t, dir, e.Name()), info.Sys().(*syscall.Stat_t).Ino, info.ModTime(), info.Mode()}
	}
	return out
}

func readText(t testing.TB, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func writeText(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTextStock: on Debian's directory, where all rows of version have the id 0, a start and an
// end of silod change nothing, and a message changes the table silo only.
func TestTextStock(t *testing.T) {
	t.Parallel()
	dir := debianText(t)
	before := states(t, dir)
	for run := range 2 {
		db := open(t, "text:"+dir, Options{})
		if run == 1 {
			add(t, db.Messages(), text("x"))
		}
		closeDB(t, db)
		after := states(t, dir)
		for name, was := range before {
			if now := after[name]; now != was && (run == 0 || name != "silo") {
				t.Errorf("start %d: %s was %+v, is %+v", run, name, was, now)
			}
		}
		for name := range after {
			if _, ok := before[name]; !ok && name != ".silod.lock" && (run == 0 || name != "silod_meta") {
				t.Errorf("start %d: %s was created", run, name)
			}
		}
	}
}

// TestTextReadOnly: a directory that is opened for reading only gets no file, and is not written.
func TestTextReadOnly(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{debianText(t), textDir(t, kamailioText)} {
		before := states(t, dir)
		if _, err := Check(t.Context(), "text:"+dir, Options{}); err != nil {
			t.Fatal(err)
		}
		if after := states(t, dir); !maps.Equal(after, before) {
			t.Errorf("was %v, is %v", before, after)
		}
	}
}

const (
	siloHead = "id(int,auto) src_addr(string) dst_addr(string) username(string) domain(string) inc_time(int) exp_time(int) snd_time(int) " +
		"ctype(string) body(string,null) extra_hdrs(string,null) callid(string) status(int)\n"
	userHead = "id(int,auto) username(string) domain(string) password(string) ha1(string) ha1b(string)\n"
)

func siloRow(id any, body string) string {
	return fmt.Sprintf(`%v:sip\:alice@example.org:sip\:bob@example.org:bob:example.org:1795262400:0:0:text/plain:%s::c@x:0`+"\n", id, body)
}

// TestTextEqualIDs: rows with equal, empty or strange ids are all there. Messages with them are
// delivered in their order and deleted one by one, and the others keep their bytes.
func TestTextEqualIDs(t *testing.T) {
	t.Parallel()
	var rows []string
	for i, id := range []any{0, 0, 7, 7, "", -3, 12} {
		rows = append(rows, siloRow(id, fmt.Sprint("m", i)))
	}
	rows = append(rows, rows[2]) // twice the same
	dir := textDir(t, map[string]string{
		"silo":       siloHead + strings.Join(rows, ""),
		"subscriber": userHead + "0:alice:example.org:a:x:y\n0:bob:example.org:b:x:y\n0:carol:example.org:c:x:y\n",
		"imc_rooms":  "id(int,auto) name(string) domain(string) flag(int)\n0:chat-1:example.org:1\n0:chat-2:example.org:0\n",
		"imc_members": "id(int,auto) username(string) domain(string) room(string) flag(int)\n" +
			"0:alice:example.org:sip\\:chat-1@example.org:1\n0:bob:example.org:sip\\:chat-1@example.org:0\n0:bob:example.org:sip\\:chat-2@example.org:1\n",
		"location": strings.Replace(kamailioText["location"], "\n1:", "\n0:", 1) + strings.NewReplacer("1:uloc-1:bob", "0:uloc-2:carol").
			Replace(strings.SplitAfterN(kamailioText["location"], "\n", 2)[1]),
	})
	db := open(t, "text:"+dir, Options{Domains: sip.NewDomains("example.org")})
	st := db.Messages()
	if n := len(loadBindings(t, db.Bindings(), noon)); n != 2 {
		t.Errorf("%d bindings", n)
	}
	if rooms := loadRooms(t, db.Rooms()); len(rooms) != 2 || len(rooms[room1].Members) != 2 {
		t.Errorf("rooms: %v", rooms)
	}
	for user, password := range map[string]string{"alice": "a", "bob": "b", "carol": "c"} {
		secret, err := db.Users().Lookup(t.Context(), aor(user+"@example.org"))
		if err != nil || secret.Password != password {
			t.Errorf("%s: %+v, %v", user, secret, err)
		}
	}
	ours := text("ours")
	add(t, st, ours)
	ms := next(t, st, 0, 20)
	if got := bodies(ms); got != "m2 m6 m0 m1 m3 m4 m5 m2 ours" {
		t.Fatalf("messages: %s", got)
	}
	if !strings.HasPrefix(readText(t, dir, "silo"), siloHead+strings.Join(rows, "")+fmt.Sprint(ours.ID)+":") {
		t.Errorf("silo is\n%s", readText(t, dir, "silo"))
	}
	// Deleted one by one, in another order.
	left := slices.Clone(rows)
	for _, body := range []string{"m3", "m0", "m5", "m2"} {
		i := slices.IndexFunc(ms, func(m silo.Message) bool { return string(m.Body) == body })
		remove(t, st, ms[i].ID)
		left = slices.Delete(left, slices.Index(left, siloRow([]any{0, 0, 7, 7, "", -3}[body[1]-'0'], body)), slices.Index(left, siloRow([]any{0, 0, 7, 7, "", -3}[body[1]-'0'], body))+1)
		if got := readText(t, dir, "silo"); !strings.HasPrefix(got, siloHead+strings.Join(left, "")) {
			t.Errorf("without %s:\n%s", body, got)
		}
	}
	closeDB(t, db)
	db = open(t, "text:"+dir, Options{Domains: sip.NewDomains("example.org")})
	if got := bodies(next(t, db.Messages(), 0, 20)); got != "m2 m6 ours m1 m4" {
		t.Errorf("after a restart: %s", got)
	}
}

// TestTextMarked: a message that has no id of its own gets one with its first row in a side table,
// so that the row is still its after a restart.
func TestTextMarked(t *testing.T) {
	t.Parallel()
	rows := []string{siloRow(0, "a"), siloRow(0, "b"), siloRow(0, "c")}
	dir := textDir(t, map[string]string{"silo": siloHead + strings.Join(rows, "")})
	db := open(t, "text:"+dir, Options{})
	ms := next(t, db.Messages(), 0, 9)
	if ok, err := db.Messages().SetAside(t.Context(), ms[1].ID, "why", nil); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if got := readText(t, dir, "silo"); got != siloHead+rows[0]+siloRow(ms[1].ID, "b")+rows[2] {
		t.Errorf("silo is\n%s", got)
	}
	remove(t, db.Messages(), ms[0].ID)
	for range 2 {
		closeDB(t, db)
		db = open(t, "text:"+dir, Options{})
		if got := bodies(next(t, db.Messages(), 0, 9)); got != "c" {
			t.Errorf("not set aside: %s", got)
		}
		if m, err := db.Messages().Get(t.Context(), ms[1].ID); err != nil || m.Stuck != "why" || string(m.Body) != "b" {
			t.Errorf("set aside: %+v, %v", m, err)
		}
	}
}

// TestTextBytes: rows that do not change keep their bytes and their place, however they are written,
// and fields that do not change keep theirs.
func TestTextBytes(t *testing.T) {
	t.Parallel()
	head := "note(string) id(int,auto)username(str)  domain(string,null) a.b(int) password(string)  ha1(string) ha1b(blob,null) since(time,null) rate(double) group(string,null) \n"
	rows := []string{
		`x\qy:1:alice:example.org:07:secret:h1:h2:5:1.5:a` + "\n", "\n",
		`:2:bob:example.org:1:secret:h1:h2::1.50` + "\n", "\n", "\n",
		`\0:3:carol:example.org:1:secret:h1:h2::001:\t` + "\n",
		`:4:dave:example.org:1:secret:h1:h2::2:last`,
	}
	dir := textDir(t, map[string]string{"subscriber": head + strings.Join(rows, ""), "unknown": "whatever"})
	var log bytes.Buffer
	db := open(t, "text:"+dir, Options{Domains: sip.NewDomains("example.org"), Log: slog.New(slog.NewTextHandler(&log, nil))})
	defer closeDB(t, db)
	if got := readText(t, dir, "subscriber"); got != head+strings.Join(rows, "") {
		t.Errorf("subscriber is\n%s", got)
	}
	if !strings.Contains(log.String(), "line 2, column note: an unknown escape") {
		t.Errorf("log:\n%s", log.String())
	}
	secret := auth.Secret{Name: "bob", Password: "p:w", HA1: auth.Hashes{auth.MD5: "n1"}, HA1B: auth.Hashes{}}
	if err := db.Users().SetSecret(t.Context(), bob, secret); err != nil {
		t.Fatal(err)
	}
	rows[2] = `:2:bob:example.org:1:p\:w:n1:::1.50:` + "\n"
	if got := readText(t, dir, "subscriber"); got != head+strings.Join(rows, "") {
		t.Errorf("with another password:\n%s", got)
	}
	if err := db.Users().RemoveUser(t.Context(), aor("carol@example.org")); err != nil {
		t.Fatal(err)
	}
	secret.HA1B[auth.MD5] = "n2"
	secret.Password = ""
	if err := db.Users().AddUser(t.Context(), aor("eve@example.org"), secret); err != nil {
		t.Fatal(err)
	}
	rows[5] = ""
	rows[6] += "\n"
	rows = append(rows, `\0:5:eve:example.org:0:\0:n1:n2::0.00:`+"\n")
	if got := readText(t, dir, "subscriber"); got != head+strings.Join(rows, "") {
		t.Errorf("subscriber is\n%s\nwant\n%s", got, head+strings.Join(rows, ""))
	}
}

// TestTextErrors: an error names the file, the line and the column.
func TestTextErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"id(int) flag(int) name(string) domain(string)\n1:2:x:y\n\n1:2x:x:y\n": "line 4, column flag: ",
		"id(int) name(string) domain(string) flag(int)\n1:a:b\n":               "line 2, column flag: 3 fields, but 4 columns",
		"id(int) name(string) domain(string) flag(int)\n1:a:b:3:4\n":           "line 2, column 5: 5 fields, but 4 columns",
		"id(int) name(varchar) domain(string) flag(int)\n":                     `line 1: column name has the unknown type "varchar"`,
	} {
		dir := textDir(t, map[string]string{"imc_rooms": text})
		_, err := Open(t.Context(), "text:"+dir, Options{})
		if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "imc_rooms")+": "+want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
		if got := readText(t, dir, "imc_rooms"); got != text {
			t.Errorf("imc_rooms is %q", got)
		}
	}
}

// TestTextOldTables: silod uses the tables of old versions of Kamailio, also those whose key it does
// not have.
func TestTextOldTables(t *testing.T) {
	t.Parallel()
	location := "username(string) domain(string,null) contact(string) expires(int)\nalice:example.org:sip\\:a@h:1\n"
	dir := textDir(t, map[string]string{
		"version":  "table_name(string) table_version(int)\nsilo:5\nlocation:1004\n",
		"silo":     strings.Replace(siloHead, "id(", "mid(", 1) + siloRow(0, "a") + siloRow(0, "b"),
		"location": location,
		"dbaliases": "id(int,auto) alias_username(string) alias_domain(string) username(string) domain(string)\n" +
			"0:robert:example.org:bob:example.org\n0:b:example.org:bob:example.org\n",
	})
	before := states(t, dir)
	for range 2 {
		db := open(t, "text:"+dir, Options{Domains: sip.NewDomains("example.org")})
		if got := bodies(next(t, db.Messages(), 0, 9)); got != "a b" {
			t.Errorf("messages: %s", got)
		}
		save(t, db.Bindings(), simpleBinding("silod-1"))
		for _, alias := range []string{"robert", "b"} {
			if ok, err := db.Users().Aliases(t.Context(), bob, aor(alias+"@example.org")); !ok || err != nil {
				t.Errorf("alias %s: %v, %v", alias, ok, err)
			}
		}
		closeDB(t, db)
		db = open(t, "text:"+dir, Options{Domains: sip.NewDomains("example.org")})
		if got := loadBindings(t, db.Bindings(), noon); !reflect.DeepEqual(got["silod-1"], simpleBinding("silod-1")) {
			t.Errorf("binding: %+v", got)
		}
		closeDB(t, db)
	}
	after := states(t, dir)
	for _, name := range []string{"silo", "location", "dbaliases"} {
		if before[name] != after[name] {
			t.Errorf("%s was %+v, is %+v", name, before[name], after[name])
		}
	}
}
