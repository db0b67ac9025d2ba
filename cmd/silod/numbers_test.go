package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"silod/db/dbtest"
)

// onServers runs a test with a daemon on each database server.
func onServers(t *testing.T, f func(t *testing.T, r *removals, engine string)) {
	t.Helper()
	for name, fresh := range map[string]func(testing.TB) string{"postgres": dbtest.PostgreSQL, "mariadb": dbtest.MariaDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &removals{url: fresh(t)}
			r.served = serve(t, "db.url = '"+r.url+"'")
			f(t, r, name)
		})
	}
}

// TestNumbersOfRowsEnd: when a table has no more numbers for rows, requests that need one are
// answered 503 with Retry-After and a reason in plain words, without a word of the database.
// After the command that the log has shown all goes on.
func TestNumbersOfRowsEnd(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, r *removals, engine string) {
		u, tables := r.phone("udp", "alice"), []string{"silo", "location", "imc_rooms", "imc_members"}
		if got := u.message(carol, "before"); got != 202 {
			t.Fatalf("before: %d", got)
		}
		for _, name := range tables {
			if engine == "postgres" {
				r.admin(t, "ALTER SEQUENCE "+name+"_id_seq MAXVALUE 300", "SELECT setval('"+name+"_id_seq', 300)")
			} else {
				r.admin(t, "SET sql_mode = ''", "ALTER TABLE "+name+" MODIFY id TINYINT UNSIGNED NOT NULL AUTO_INCREMENT",
					"INSERT INTO "+name+" (id) VALUES (255)")
			}
		}
		a := u.ask(u.request("MESSAGE", carol, carol, "at the end", "Content-Type: text/plain"))
		if status(a) != 503 || header(a, "Retry-After") == "" || !strings.Contains(a, "the numbers of messages are used up") {
			t.Errorf("message:\n%s", a)
		}
		b := u.refresh()
		if status(b) != 503 || header(b, "Retry-After") == "" || !strings.Contains(b, "the numbers of contacts are used up") {
			t.Errorf("REGISTER:\n%s", b)
		}
		c := u.ask(u.request("MESSAGE", "sip:chat-1@127.0.0.1", "sip:chat-1@127.0.0.1", "#create", "Content-Type: text/plain"))
		if status(c) != 503 || header(c, "Retry-After") == "" || !strings.Contains(c, "the numbers of their rows are used up") {
			t.Errorf("#create:\n%s", c)
		}
		a += b + c
		for _, word := range []string{"sequence", "_seq", "PRIMARY", "2200H", "1062", "1467", "pq:", "Error"} {
			if strings.Contains(a, word) {
				t.Errorf("the database speaks to the sender:\n%s", a)
			}
		}
		r.eventually("the log shows the solution", func() bool {
			return strings.Contains(r.log.String(), "used up") && strings.Contains(r.log.String(), "location")
		})
		for _, name := range tables {
			if engine == "postgres" {
				r.admin(t, "ALTER SEQUENCE "+name+"_id_seq AS bigint NO MAXVALUE NO CYCLE")
			} else {
				r.admin(t, "DELETE FROM "+name+" WHERE id = 255", "ALTER TABLE "+name+" MODIFY id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT")
			}
		}
		if got := u.message(carol, "after"); got != 202 {
			t.Errorf("after: %d", got)
		}
		if a := u.refresh(); status(a) != 200 {
			t.Errorf("after:\n%s", a)
		}
	})
}

// TestDatabaseSpeaksToNoSender: the text of an error of the database, here of a trigger of the
// administrator, is in the log and not in an answer.
func TestDatabaseSpeaksToNoSender(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, r *removals, engine string) {
		if engine == "postgres" {
			r.admin(t, "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'internal: host db7'; END $$",
				"CREATE TRIGGER no BEFORE INSERT ON silo FOR EACH ROW EXECUTE FUNCTION no()")
		} else {
			r.admin(t, "CREATE TRIGGER no BEFORE INSERT ON silo FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'internal: host db7'")
		}
		u := r.phone("udp", "alice")
		a := u.ask(u.request("MESSAGE", carol, carol, "refused", "Content-Type: text/plain"))
		if status(a) != 400 || strings.Contains(a, "db7") || strings.Contains(a, "45000") {
			t.Errorf("answer:\n%s", a)
		}
		if !strings.Contains(r.log.String(), "db7") {
			t.Error("the log does not have the reason")
		}
	})
}

// TestLargeNumbers: the numbers of messages may be larger than a float can hold exactly.
func TestLargeNumbers(t *testing.T) {
	t.Parallel()
	const large = 1<<53 + 1
	onServers(t, func(t *testing.T, r *removals, engine string) {
		if engine == "postgres" {
			r.admin(t, fmt.Sprintf("SELECT setval('silo_id_seq', %d)", large-1))
		} else {
			r.admin(t, fmt.Sprintf("ALTER TABLE silo AUTO_INCREMENT = %d", large))
		}
		u := r.phone("udp", "alice")
		if got := u.message(carol, "large"); got != 202 {
			t.Fatal(got)
		}
		list := r.raw("silo_list", carol) + r.raw("silo_show", fmt.Sprint(large))
		if strings.Count(list, fmt.Sprint(large)) < 2 {
			t.Errorf("list: %s", list)
		}
		b := r.phone("udp", "carol")
		b.register(300)
		if m := b.next(); body(m) != "large" {
			t.Errorf("delivered:\n%s", m)
		}
	})
}

// TestLongStart: a start that waits for an index tells systemd, and ends at once with a signal,
// without an error.
func TestLongStart(t *testing.T) { // not parallel: systemd's socket is in the environment
	url := dbtest.PostgreSQL(t)
	tables, err := os.ReadFile("../../db/testdata/kamailio-silo8.postgres.sql")
	if err != nil {
		t.Fatal(err)
	}
	pool, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.ExecContext(t.Context(), string(tables)); err != nil {
		t.Fatal(err)
	}
	open, err := pool.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Rollback() }()
	if _, err := open.ExecContext(t.Context(), "DELETE FROM silo WHERE id = 1"); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "silod") //nolint:usetesting // the name of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", name)

	cfg := testConfig(t, t.TempDir(), anyPort, "db.url = '"+url+"'")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	logs := new(syncBuffer)
	go func() { done <- run(ctx, cfg, "", io.Discard, logs) }()
	for told := ""; !strings.Contains(told, "waits for a transaction of process"); {
		buf := make([]byte, 4096)
		_ = manager.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, err := manager.Read(buf)
		if err != nil {
			t.Fatalf("told %q: %v", told, err)
		}
		if told = string(buf[:n]); !strings.HasPrefix(told, "EXTEND_TIMEOUT_USEC=30000000") {
			t.Fatalf("told %q", told)
		}
	}
	for end := time.Now().Add(20 * time.Second); !strings.Contains(logs.String(), "creating index"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("log:\n%s", logs)
		}
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("does not end")
	}
}
