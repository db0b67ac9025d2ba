package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"silod/db/dbtest"
)

// fill takes all space of a filesystem, and returns a function that frees it.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	name := filepath.Join(dir, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	f.Close()
	return func() { _ = os.Remove(name) }
}

// refresh sends a REGISTER with the Call-ID of the one before, as clients do.
func (u *ua) refresh() string {
	u.t.Helper()
	m := u.request("REGISTER", "sip:127.0.0.1", u.aor, "", fmt.Sprintf("Contact: <sip:x@%s>", u.conn.LocalAddr()), "Expires: 300")
	return u.ask(strings.Replace(m, header(m, "Call-ID"), "of-"+u.conn.LocalAddr().String(), 1))
}

// smallDisks return a database for removals and the small filesystem that it is on.
var smallDisks = map[string]func(t *testing.T, r *removals) (dir string){
	"sqlite": func(t *testing.T, r *removals) string {
		dir := t.TempDir()
		dbtest.SmallDisk(t, dir, "6")
		r.url = "sqlite:" + filepath.Join(dir, "silod.db")
		return dir
	},
	"postgres": func(t *testing.T, r *removals) string { // the write-ahead log is on another disk
		r.server = dbtest.NewPostgreSQL(t)
		r.url = r.server.Database(t)
		//nolint:usetesting // the server has another user, which may not enter the test's directory
		dir, err := os.MkdirTemp("/tmp", "silod-disk")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		dbtest.SmallDisk(t, dir, "16")
		if os.Getuid() == 0 {
			_ = os.Chown(dir, 65534, 65534)
		}
		r.admin(t, "CREATE TABLESPACE small LOCATION '"+dir+"'", "CREATE DATABASE small TABLESPACE small")
		r.url = strings.Replace(r.url, "/test1?", "/small?", 1)
		return dir
	},
	"mariadb": func(t *testing.T, r *removals) string { // its logs are on another disk
		r.server = dbtest.NewMariaDB(t)
		r.url = r.server.Database(t)
		var data string
		if err := r.open(t).QueryRowContext(t.Context(), "SELECT @@datadir").Scan(&data); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(data, "test1")
		dbtest.SmallDisk(t, dir, "8")
		return dir
	},
}

// While the disk is full, messages are refused with 503 and the stored ones are delivered
// once. When there is space again all goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for name, disk := range smallDisks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !dbtest.OwnMounts(t) {
				return
			}
			r := &removals{got: make(chan taken, 1000)}
			dir := disk(t, r)
			r.served = serve(t, "db.url = '"+r.url+"'")
			r.store(t, 150)
			dave := r.phone("udp", "dave")
			if a := dave.refresh(); status(a) != 200 {
				t.Fatalf("REGISTER was answered\n%s", a)
			}
			free := make(chan func(), 1)
			phone := r.device("phone", func(n int) {
				if n == 5 {
					free <- fill(t, dir)
				}
			})
			end := <-free
			l := r.newLedger(900)
			r.eventually("a refusal", func() bool { return l.refusals.Load() > 3 })
			for range 3 {
				time.Sleep(time.Second)
				phone.refreshAs("phone")
				if a := dave.refresh(); status(a) != 200 {
					t.Errorf("a refresh was answered\n%s", a)
				}
			}
			if n := strings.Count(r.log.String(), "database writes fail"); n > 5 {
				t.Errorf("%d entries in the log", n)
			}
			end()
			r.check(t, r.empty, "phone")
			time.Sleep(time.Second)
			l.check(t)
		})
	}
}
