package db

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/imc"
	"silod/registrar"
	"silod/silo"
	"silod/sip"
)

// lastNumbers returns the statements after which table silo, which Kamailio has created, has n
// numbers left.
func lastNumbers(engine string, n int) []string {
	switch engine {
	case "postgres":
		return []string{fmt.Sprintf("SELECT setval('silo_id_seq', %d)", 1<<31-1-n)}
	case "mariadb":
		return []string{fmt.Sprintf("ALTER TABLE silo AUTO_INCREMENT = %d", 1<<32-n)}
	}
	return []string{fmt.Sprintf("INSERT INTO silo (id, username, domain, snd_time) VALUES (%d, 'x', 'y', 1)", uint64(1)<<63-1-uint64(n))}
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// await waits until the log has a text.
func (l *lockedBuffer) await(t *testing.T, want string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(l.String(), want); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the log has no %q:\n%s", want, l.String())
		}
	}
}

// TestNumbersEnd: at the end of the numbers of table silo messages are refused as by a database
// that is not available, everything else goes on, and the log and the check have the command
// that solves it, also while silod runs.
func TestNumbersEnd(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			url := e.prepared(t, fixture(t, "8", e.name)...)
			if _, err := Init(t.Context(), url, Options{}); err != nil {
				t.Fatal(err)
			}
			var log lockedBuffer
			db := open(t, url, Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Domains: sip.NewDomains("example.org")})
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			go func() { _ = db.Run(ctx) }()
			before := text("before")
			add(t, db.Messages(), before)
			rawExec(t, db, lastNumbers(e.name, 2)...)
			var err error
			for i := 0; err == nil && i < 10; i++ {
				err = db.Messages().Add(t.Context(), text("to the end"))
			}
			if !errors.Is(err, silo.ErrBusy) || !errors.Is(err, silo.ErrNumbers) || errors.Is(err, silo.ErrInvalid) {
				t.Errorf("at the end: %v", err)
			}
			for _, word := range []string{"seq", "PRIMARY", "1467", "2200H"} {
				if strings.Contains(fmt.Sprint(err), word) {
					t.Errorf("the database speaks to senders: %v", err)
				}
			}
			if err := db.Bindings().Save(t.Context(), []registrar.Change{simpleBinding("r1")}); err != nil {
				t.Errorf("register: %v", err)
			}
			remove(t, db.Messages(), before.ID)
			log.await(t, "numbers of rows near their end")
			repair := checkedProblem(t, url, "silo", "used up")
			if e.name == "sqlite" {
				return
			}
			log.await(t, "ALTER TABLE silo")
			log.await(t, "used_percent=100")
			if used := db.NumbersUsed(); used != 100 {
				t.Errorf("statistic: %d %%", used)
			}
			_, repair, _ = strings.Cut(repair, "no more rows: ")
			rawExec(t, db, strings.Split(repair, "; ")...)
			after := text("after the repair")
			add(t, db.Messages(), after)
			if want := int64(1<<31 - 1); after.ID <= want {
				t.Errorf("number %d", after.ID)
			}
			if m, err := db.Messages().Get(t.Context(), after.ID); err != nil || string(m.Body) != "after the repair" {
				t.Errorf("got %+v, %v", m, err)
			}
			found, err := Check(t.Context(), url, Options{})
			if err != nil || found[0].Problem != "" || !strings.Contains(found[0].Note, "not for Kamailio") {
				t.Errorf("after the repair: %+v, %v", found[0], err)
			}
		})
	}
}

// checkedProblem returns the problem of a table that Check finds, which has a text.
func checkedProblem(t *testing.T, url, table, want string) string {
	t.Helper()
	found, err := Check(t.Context(), url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if f.Table == table && strings.Contains(f.Problem, want) {
			return f.Problem
		}
	}
	t.Errorf("table %s has no problem %q: %+v", table, want, found)
	return ""
}

// TestNumbersNearEnd: from 80 % on, the start, the running daemon and the check tell of every
// table that gives numbers, and of a sequence that is behind its rows.
func TestNumbersNearEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ engine, change, table, want string }{
		{"postgres", "SELECT setval('location_id_seq', 1800000000)", "location", "83 % of the numbers"},
		{"postgres", "ALTER SEQUENCE imc_members_id_seq MAXVALUE 10; SELECT setval('imc_members_id_seq', 9)", "imc_members", "ALTER SEQUENCE imc_members_id_seq AS bigint"},
		{"postgres", "ALTER SEQUENCE silo_id_seq MAXVALUE 10 CYCLE; SELECT setval('silo_id_seq', 8)", "silo", "80 % of the numbers"},
		{"postgres", "ALTER SEQUENCE silo_id_seq AS bigint; SELECT setval('silo_id_seq', 2147483647)", "silo", "used up (2147483647)"},
		{"postgres", "INSERT INTO silo (id) VALUES (4000)", "silo", "SELECT setval('silo_id_seq', 4000)"},
		{"mariadb", "ALTER TABLE location AUTO_INCREMENT = 4000000000", "location", "93 % of the numbers"},
		{"mariadb", "ALTER TABLE imc_rooms MODIFY id TINYINT NOT NULL AUTO_INCREMENT; ALTER TABLE imc_rooms AUTO_INCREMENT = 126", "imc_rooms", "MODIFY id BIGINT UNSIGNED"},
	} {
		t.Run(c.table+" "+c.want, func(t *testing.T) {
			t.Parallel()
			e := engines[map[string]int{"postgres": 1, "mariadb": 2}[c.engine]]
			url := e.prepared(t, append(fixture(t, "8", e.name), strings.Split(c.change, "; ")...)...)
			if _, err := Init(t.Context(), url, Options{}); err != nil {
				t.Fatal(err)
			}
			checkedProblem(t, url, c.table, c.want)
			var log lockedBuffer
			open(t, url, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
			log.await(t, c.want)
		})
	}
}

// TestNumbersPassed: a running daemon warns when the messages that it stores pass 80 %.
func TestNumbersPassed(t *testing.T) {
	t.Parallel()
	e := engines[1]
	var log lockedBuffer
	db := open(t, e.prepared(t, fixture(t, "8", e.name)...), Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { _ = db.Run(ctx) }()
	if strings.Contains(log.String(), "near their end") {
		t.Error("warned too early")
	}
	rawExec(t, db, "SELECT setval('silo_id_seq', 1800000000)")
	add(t, db.Messages(), text("x"))
	log.await(t, "used_percent=83")
}

// TestNumbersNotBurnt: changes of existing bindings, rooms and members use no numbers.
func TestNumbersNotBurnt(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		one := registrar.Change{AoR: alice, Binding: simpleBinding("r1").Binding}
		room := imc.Change{Room: imc.Room{AoR: room1}, Put: []imc.Member{{User: alice, Role: imc.Owner}}}
		change := func() {
			t.Helper()
			one.Binding.CSeq++
			room.Room.Private, room.Room.Topic = !room.Room.Private, room.Room.Topic+"."
			if room.Put[0].Role = imc.Owner; room.Room.Private {
				room.Put[0].Role = imc.Admin
			}
			if err := db.Bindings().Save(t.Context(), []registrar.Change{one}); err != nil {
				t.Fatal(err)
			}
			if err := db.Rooms().Apply(t.Context(), room); err != nil {
				t.Fatal(err)
			}
		}
		change()
		before, err := db.layout.numbers(t.Context(), db.reader.pool)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			change()
		}
		after, err := db.layout.numbers(t.Context(), db.reader.pool)
		if err != nil || len(after) != len(before) {
			t.Fatal(after, err)
		}
		for i := range after {
			if after[i].last != before[i].last {
				t.Errorf("table %s: %d numbers used", after[i].table, after[i].last-before[i].last)
			}
		}
		if got := loadRooms(t, db.Rooms())[room1]; got.Room.Topic != "......" || got.Members[alice].Role != room.Put[0].Role {
			t.Errorf("room: %+v", got)
		}
	})
}

// TestOwnTablesNumbers: tables that silod creates have numbers of 64 bits.
func TestOwnTablesNumbers(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, e.fresh(t), Options{})
			all, err := db.layout.numbers(t.Context(), db.reader.pool)
			if err != nil || len(all) < 7 {
				t.Fatal(all, err)
			}
			for _, n := range all {
				if n.limit != 1<<63-1 {
					t.Errorf("table %s ends at %d", n.table, n.limit)
				}
			}
		})
	}
}
