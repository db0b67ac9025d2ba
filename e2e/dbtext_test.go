package e2e_test

import (
	"crypto/md5"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"silod/e2e/phone"
)

// stockText copies the directory of db_text that Debian's Kamailio comes with, and adds users as
// kamctl's scripts do: all with the id 0.
func stockText(t *testing.T, users ...string) string {
	t.Helper()
	const from = "/usr/share/kamailio/dbtext/kamailio"
	if _, err := os.Stat(from); err != nil {
		missing(t, from)
	}
	dir := filepath.Join(shortDir(t), "dbtext")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "subscriber"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range users {
		ha1 := func(name string) [16]byte { return md5.Sum([]byte(name + ":" + domain + ":secret")) }
		if _, err := fmt.Fprintf(f, "0:%s:%s:secret:%x:%x\n", user, domain, ha1(user), ha1(user+"@"+domain)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// textFiles returns the contents of the tables in a directory.
func textFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(data)
	}
	return files
}

// TestKilledOnText kills the daemon repeatedly while it stores and delivers messages on Debian's
// directory of db_text: none is lost, and the rows of others stay as they are.
func TestKilledOnText(t *testing.T) {
	t.Parallel()
	dir := stockText(t, slices.Sorted(maps.Keys(users))...)
	before := textFiles(t, dir)
	d := serve(t, "db.url = 'text:"+dir+"'")
	l := startLoad(t, d, slices.Sorted(maps.Keys(users))...)
	time.Sleep(300 * time.Millisecond) // so that messages are stored
	inboxes := make(map[string]*inbox)
	for name, transport := range users {
		inboxes[name] = new(inbox)
		d.online(t, transport, name, inboxes[name].receive)
	}
	d.killRepeatedly(t)
	l.end()
	for name := range users {
		inboxes[name].check(t, name, l, name)
		d.awaitStored(t, name)
	}
	d.stop()
	after := textFiles(t, dir)
	for name, text := range before {
		if name != "location" && after[name] != text {
			t.Errorf("%s was\n%sis\n%s", name, text, after[name])
		}
	}
	for name := range after {
		if strings.HasPrefix(name, ".silod-") {
			t.Errorf("%s is left", name)
		}
	}
}

// TestTextLogin: users whose rows all have the id 0 log in.
func TestTextLogin(t *testing.T) {
	t.Parallel()
	dir := stockText(t, "alice", "bob", "carol")
	d := serve(t, "db.url = 'text:"+dir+"'", digest)
	for _, name := range []string{"alice", "bob", "carol"} {
		p, err := phone.New(phone.Config{AoR: uri(name), Password: "secret", Server: d.addr})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		if res, _, err := p.Register(t.Context(), 0); err != nil || !res.OK() {
			t.Errorf("%s: %v, %v", name, res, err)
		}
	}
}

// TestTextGroup runs the daemon as a user that may write the directory only as a member of its
// group: the files keep their owner, and after a kill no row is torn.
func TestTextGroup(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root, to run the daemon as another user")
	}
	dir := stockText(t)
	d := prepare(t, "db.url = 'text:"+dir+"'")
	const owner, group, member = 4711, 4712, 4713
	for path, mode := range map[string]os.FileMode{
		filepath.Dir(dir): 0o755, filepath.Dir(built("silod")): 0o755, dir: 0o770 | os.ModeSetgid,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for name := range textFiles(t, dir) {
		path := filepath.Join(dir, name)
		if err := os.Chown(path, owner, group); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o660); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{dir, d.dir, d.path("silod.toml")} {
		id := owner
		if path != dir {
			id = member
		}
		if err := os.Chown(path, id, group); err != nil {
			t.Fatal(err)
		}
	}
	d.as = &syscall.Credential{Uid: member, Gid: member, Groups: []uint32{group}}
	silo := filepath.Join(dir, "silo")
	if err := os.Chmod(silo, 0o640); err != nil {
		t.Fatal(err)
	}
	d.launch(t)
	eventually(t, func() error {
		if d.running() {
			return errors.New("silod runs without the right to write silo")
		}
		return nil
	})
	if logs := d.logs.String(); !strings.Contains(logs, "cannot write table "+silo) {
		t.Errorf("the log does not name the table:\n%s", logs)
	}
	if err := os.Chmod(silo, 0o660); err != nil {
		t.Fatal(err)
	}
	d.start(t)
	l := startLoad(t, d, "bob")
	d.killRepeatedly(t)
	l.end()
	var e inbox
	d.online(t, "udp", "bob", e.receive)
	e.check(t, "bob", l, "bob")
	d.awaitStored(t, "bob")
	d.stop()
	for name := range textFiles(t, dir) {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		own := strings.HasPrefix(name, "silod_") || strings.HasPrefix(name, ".silod")
		if !own && (st.Uid != owner || st.Gid != group || info.Mode() != 0o660) {
			t.Errorf("%s: %d:%d %v", name, st.Uid, st.Gid, info.Mode())
		}
		if own && name != ".silod.lock" && name != ".silod.seen" && (st.Gid != group || info.Mode() != 0o660) {
			t.Errorf("%s: %d:%d %v", name, st.Uid, st.Gid, info.Mode())
		}
	}
}
