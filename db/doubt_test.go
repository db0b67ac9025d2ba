package db

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"silod/db/dbtest"
	"silod/imc"
	"silod/registrar"
	"silod/silo"
	"silod/sip"
)

// A standstill is a server that does not answer commits.
type standstill struct {
	db    *DB
	end   func()     // has it answer
	count func() int // sessions of silod, idle or not
}

// withoutStandby opens a database on a PostgreSQL server that waits for a synchronous standby after
// begin.
func withoutStandby(t *testing.T, server *dbtest.Server) (s standstill, begin func()) {
	t.Helper()
	s.db = open(t, server.Database(t), Options{})
	admin, err := s.db.layout.dialect.connect(t.Context(), forSchema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close() })
	run := func(text string) {
		t.Helper()
		if _, err := admin.ExecContext(context.Background(), text); err != nil {
			t.Fatal(text, err)
		}
	}
	s.count = func() int {
		n, err := scanInts(admin.QueryContext(t.Context(),
			"SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"))
		if err != nil {
			t.Fatal(err)
		}
		return int(n[0])
	}
	s.end = func() {
		run("ALTER SYSTEM RESET synchronous_standby_names")
		run("SELECT pg_reload_conf()")
	}
	return s, func() {
		run("ALTER SYSTEM SET synchronous_standby_names = 'ghost'")
		run("SELECT pg_reload_conf()")
		for deadline := time.Now().Add(patient); ; time.Sleep(10 * time.Millisecond) {
			n, err := scanInts(admin.QueryContext(t.Context(), "SELECT 1 FROM pg_settings WHERE name = 'synchronous_standby_names' AND setting = 'ghost'"))
			if err == nil && len(n) == 1 {
				time.Sleep(100 * time.Millisecond) // the other sessions
				return
			}
			if time.Now().After(deadline) {
				t.Fatal("the setting is not read")
			}
		}
	}
}

// patient is how long tests wait for a condition.
const patient = 30 * time.Second

// inTime returns a context for a write that may wait for a second.
func inTime(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}

// awaitDoubt waits for the begin or the end of the doubt.
func awaitDoubt(t *testing.T, db *DB, want bool) {
	t.Helper()
	for deadline := time.Now().Add(patient); db.InDoubt() != want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in doubt: %v", !want)
		}
	}
}

// A message that is sent again and again while a server does not confirm commits is stored once
// after that. Meanwhile one session more than before is open at most.
func TestDoubt(t *testing.T) {
	t.Parallel()
	s, begin := withoutStandby(t, dbtest.NewPostgreSQL(t))
	db := s.db
	before := text("before")
	add(t, db.Messages(), before)
	entry := &imc.Entry{Room: room1, From: alice, At: noon, Message: text("before").Message}
	if err := db.Rooms().Append(t.Context(), entry, func() {}); err != nil {
		t.Fatal(err)
	}
	normal := s.count()
	begin()
	for i := range 6 {
		began := time.Now()
		err := db.Messages().Add(inTime(t), text("again"))
		took := time.Since(began)
		if !errors.Is(err, silo.ErrBusy) || i > 0 && took > 300*time.Millisecond || took > 3*time.Second {
			t.Errorf("try %d: %v after %v", i, err, took)
		}
		if n := s.count(); n > normal+1 {
			t.Errorf("%d sessions, before %d", n, normal)
		}
		time.Sleep(time.Second)
	}
	if !db.InDoubt() {
		t.Error("not in doubt")
	}
	done := make(chan error, 1)
	db.Messages().Delete(before.ID, func(err error) { done <- err })
	if err := <-done; !errors.Is(err, silo.ErrBusy) {
		t.Error("a deletion: ", err)
	}
	if got := bodies(next(t, db.Messages(), 0, 10)); got != "before" {
		t.Errorf("read %q", got)
	}
	s.end()
	awaitDoubt(t, db, false)
	if got := bodies(next(t, db.Messages(), 0, 10)); got != "before" {
		t.Errorf("stored after the refusals: %q", got)
	}
	add(t, db.Messages(), text("again"))
	remove(t, db.Messages(), before.ID)
	if got := bodies(next(t, db.Messages(), 0, 10)); got != "again" {
		t.Errorf("stored: %q", got)
	}
	if n := s.count(); n > normal {
		t.Errorf("%d sessions, before %d", n, normal)
	}
}

// What was refused in doubt has no effect on any table: messages, entries of rooms, and changes
// of rooms. The rows of bindings are told to be doubtful.
func TestDoubtUndoes(t *testing.T) {
	t.Parallel()
	server := dbtest.NewPostgreSQL(t)
	member := imc.Member{User: bob, Role: imc.Plain, Seen: noon}
	room := imc.Room{AoR: room1, Created: noon}
	for name, write := range map[string]func(context.Context, *DB) error{
		"message": func(ctx context.Context, db *DB) error { return db.Messages().Add(ctx, text("doubtful")) },
		"messages": func(ctx context.Context, db *DB) error {
			return db.Messages().AddAll(ctx, []*silo.Message{text("one"), text("two")})
		},
		"entry": func(ctx context.Context, db *DB) error {
			return db.Rooms().Append(ctx, &imc.Entry{Room: room1, From: alice, At: noon, Message: text("doubtful").Message}, func() {})
		},
		"join": func(ctx context.Context, db *DB) error {
			return db.Rooms().Apply(ctx, imc.Change{
				Room: room, Put: []imc.Member{member}, Undo: &imc.Change{Room: room, Remove: []sip.AoR{bob}},
				Notice: &imc.Entry{Room: room1, From: room1, At: noon, Message: text("bob joins").Message},
			})
		},
		"create": func(ctx context.Context, db *DB) error {
			other := imc.Room{AoR: aor("other@example.org"), Created: noon}
			return db.Rooms().Apply(ctx, imc.Change{Room: other, Put: []imc.Member{member}, Undo: &imc.Change{Room: other, Delete: true, Remove: []sip.AoR{bob}}})
		},
		"binding": func(ctx context.Context, db *DB) error {
			err := db.Bindings().Save(ctx, []registrar.Change{simpleBinding("silod-1-doubt")})
			if !errors.Is(err, registrar.ErrUnknown) {
				return fmt.Errorf("not registrar.ErrUnknown: %w", err)
			}
			return silo.ErrBusy
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, begin := withoutStandby(t, server)
			db := s.db
			apply(t, db.Rooms(), imc.Change{Room: room, Put: []imc.Member{{User: alice, Role: imc.Owner, Seen: noon}}})
			before := rowCounts(t, db)
			begin()
			if err := write(inTime(t), db); !errors.Is(err, silo.ErrBusy) {
				t.Error(err)
			}
			if !db.InDoubt() {
				t.Error("not in doubt")
			}
			s.end()
			awaitDoubt(t, db, false)
			if after := rowCounts(t, db); after != before {
				t.Errorf("before %s\nafter %s", before, after)
			}
			if err := write(t.Context(), db); err != nil && name != "binding" {
				t.Error("the next try: ", err)
			}
		})
	}
}

// rowCounts returns the number of rows of the tables that have some, and the members of rooms.
func rowCounts(t *testing.T, db *DB) (out string) {
	t.Helper()
	for _, table := range []string{"silo", "silod_meta", "silod_room_log", "imc_rooms", "imc_members", "silod_room", "silod_member", "silod_cursor"} {
		out += fmt.Sprintf("%s:%d ", table, asInt(rawValue(t, db, "SELECT COUNT(*) FROM "+table)))
	}
	for _, r := range loadRooms(t, db.Rooms()) {
		out += fmt.Sprintf("%v ", r)
	}
	return out
}

// A session that waits for its commit is ended, or the server dies, in doubt: the batch was
// committed there, and is undone.
func TestDoubtWithoutSession(t *testing.T) {
	t.Parallel()
	server := dbtest.NewPostgreSQL(t)
	for name, end := range map[string]func(*testing.T, *dbtest.Server, *DB){
		"terminated": func(t *testing.T, _ *dbtest.Server, db *DB) {
			rawExec(t, db, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
		},
		"canceled": func(t *testing.T, _ *dbtest.Server, db *DB) {
			rawExec(t, db, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
		},
		"killed": func(t *testing.T, s *dbtest.Server, _ *DB) {
			s.Kill()
			s.Start(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t, server.Database(t), Options{})
			rawExec(t, db, "ALTER SYSTEM SET synchronous_standby_names = 'ghost'", "SELECT pg_reload_conf()")
			time.Sleep(200 * time.Millisecond)
			if err := db.Messages().Add(inTime(t), text("doubtful")); !errors.Is(err, silo.ErrBusy) {
				t.Fatal(err)
			}
			end(t, server, db)
			for range 5 { // the undoing waits, too
				time.Sleep(200 * time.Millisecond)
				if !db.InDoubt() {
					t.Error("not in doubt")
				}
				if got := bodies(next(t, db.Messages(), 0, 10)); got != "" {
					t.Errorf("read %q", got)
				}
			}
			rawExec(t, db, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
			awaitDoubt(t, db, false)
			if got := bodies(next(t, db.Messages(), 0, 10)); got != "" {
				t.Errorf("stored %q", got)
			}
			add(t, db.Messages(), text("again"))
		})
	}
}

// A database in doubt is closed within a few seconds.
func TestCloseInDoubt(t *testing.T) {
	t.Parallel()
	s, begin := withoutStandby(t, dbtest.NewPostgreSQL(t))
	begin()
	if err := s.db.Messages().Add(inTime(t), text("doubtful")); !errors.Is(err, silo.ErrBusy) {
		t.Fatal(err)
	}
	began := time.Now()
	if err := s.db.Close(); err != nil || time.Since(began) > 3*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

// A standby becomes the primary in doubt. Whether it has the batch or not, nothing that was
// refused is stored there.
func TestFailoverInDoubt(t *testing.T) {
	t.Parallel()
	for name, received := range map[string]bool{"received": true, "missed": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			primary := dbtest.NewPostgreSQL(t)
			url := primary.Database(t)
			standby := primary.LateStandby(t)
			db := open(t, primary.With(standby, url), Options{})
			add(t, db.Messages(), text("before"))
			if !received {
				primary.Forget(t, standby)
			}
			rawExec(t, db, "ALTER SYSTEM SET synchronous_standby_names = 'ghost'", "SELECT pg_reload_conf()")
			time.Sleep(200 * time.Millisecond)
			if err := db.Messages().Add(inTime(t), text("doubtful")); !errors.Is(err, silo.ErrBusy) {
				t.Fatal(err)
			}
			primary.Kill()
			standby.Thaw()
			standby.Promote(t)
			awaitDoubt(t, db, false)
			add(t, db.Messages(), text("after"))
			if got := bodies(next(t, db.Messages(), 0, 10)); got != "before after" {
				t.Errorf("stored %q", got)
			}
		})
	}
}

// MariaDB refuses a commit that a backup has blocked for a second. That is no doubt, and the
// message is stored when the block ends in time.
func TestBlockedCommits(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.NewMariaDB(t).Database(t), Options{})
	pool, err := db.layout.dialect.connect(t.Context(), forSchema)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	run := func(texts ...string) {
		t.Helper()
		for _, text := range texts {
			if _, err := pool.ExecContext(context.Background(), text); err != nil {
				t.Fatal(text, err)
			}
		}
	}
	run("BACKUP STAGE START", "BACKUP STAGE BLOCK_COMMIT")
	if err := db.Messages().Add(inTime(t), text("refused")); !errors.Is(err, silo.ErrBusy) {
		t.Error(err)
	}
	stored := make(chan error, 1)
	go func() { stored <- db.Messages().Add(t.Context(), text("kept")) }()
	time.Sleep(1500 * time.Millisecond)
	run("BACKUP STAGE END")
	if err := <-stored; err != nil || db.InDoubt() {
		t.Error(err, db.InDoubt())
	}
	if got := bodies(next(t, db.Messages(), 0, 10)); got != "kept" {
		t.Errorf("stored %q", got)
	}
}
