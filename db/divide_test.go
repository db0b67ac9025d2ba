package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/imc"
	"silod/silo"
)

// TestDivide: a refused batch is divided into kinds, and a kind into halves where the
// refusal may concern one write only.
func TestDivide(t *testing.T) {
	t.Parallel()
	add := &op{join: func(p *plan) { p.messages = append(p.messages, &messageRow{}) }}
	remove := &op{join: func(p *plan) { p.deletes = append(p.deletes, 1) }}
	step := newStep(1, nil)
	move := &op{join: func(p *plan) { p.cursors = append(p.cursors, imc.Cursor{}) }}
	name := map[*op]string{add: "a", remove: "r", step: "s", move: "c"}
	for _, c := range []struct {
		ops   []*op
		fault fault
		want  string // the parts; "" for none
	}{
		{[]*op{remove, add, move, add, remove}, faultDenied, "aa+c+rr"},
		{[]*op{remove, add, step}, faultOther, "a+s+r"},
		{[]*op{remove, add}, faultLocked, "a+r"},
		{[]*op{add, remove, add}, faultRow, "aa+r"},
		{[]*op{add, add, add}, faultRow, "a+aa"},
		{[]*op{remove, remove, remove, remove}, faultOther, "rr+rr"},
		{[]*op{step, step}, faultDenied, "s+s"},
		{[]*op{remove, remove}, faultDenied, ""},
		{[]*op{remove, remove}, faultLocked, ""},
		{[]*op{remove, add}, faultRetry, ""},
		{[]*op{remove, add}, faultLost, ""},
		{[]*op{add}, faultRow, ""},
	} {
		for _, o := range c.ops {
			o.deadline = noon
		}
		b := newBatch(c.ops)
		b.state, b.divisible = batchRefused, true
		halvings := 1
		var got []string
		for _, part := range b.divide(c.fault, &halvings) {
			text := ""
			for _, o := range part {
				text += name[o]
			}
			got = append(got, text)
		}
		if got := strings.Join(got, "+"); got != c.want {
			t.Errorf("%d ops, fault %d: %q, want %q", len(c.ops), c.fault, got, c.want)
		}
		for _, state := range []batchState{batchUnknown, batchCommitted} {
			if b.state = state; b.divide(c.fault, &halvings) != nil {
				t.Errorf("divided in state %d", state)
			}
		}
		b.state, b.divisible, halvings = batchRefused, false, 0
		if c.fault != faultRow && b.divide(c.fault, &halvings) != nil {
			t.Errorf("divided, although connecting has failed")
		}
	}
}

// A mix writes messages and deletes others at the same time, from many callers.
type mix struct {
	db      *DB
	deleted []int64 // IDs that are deleted
	mu      sync.Mutex
	errs    []error // of the deletions
	longest time.Duration
}

// write adds n messages while it deletes, and returns the number of refused additions.
func (m *mix) write(t *testing.T, n int) (refused int) {
	t.Helper()
	var all sync.WaitGroup
	m.errs = nil
	for _, id := range m.deleted {
		all.Add(1)
		m.db.Messages().Delete(id, func(err error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.errs = append(m.errs, err)
			all.Done()
		})
	}
	for i := range n {
		all.Go(func() {
			began := time.Now()
			err := m.db.Messages().Add(context.Background(), text(fmt.Sprint(i)))
			m.mu.Lock()
			defer m.mu.Unlock()
			m.longest = max(m.longest, time.Since(began))
			if err != nil {
				refused++
				t.Log(err)
			}
		})
	}
	all.Wait()
	return refused
}

// failed returns the number of deletions that have failed with errBusy or errInvalid.
func (m *mix) failed() (n int) {
	for _, err := range m.errs {
		if errors.Is(err, silo.ErrBusy) || errors.Is(err, silo.ErrInvalid) {
			n++
		}
	}
	return n
}

// newMix opens a database with messages to be deleted, on a server as the user app.
func newMix(t *testing.T, name string, messages int) (m *mix, admin *sql.DB) {
	url := servers[name].start(t).Database(t)
	grant := []string{"CREATE ROLE app LOGIN", "GRANT ALL ON SCHEMA public TO app"}
	if name == "mariadb" { // a connection learns of a change of its rights to a table only
		if _, err := Init(t.Context(), url, Options{}); err != nil {
			t.Fatal(err)
		}
		grant = []string{"CREATE USER app@'127.0.0.1'", "GRANT SELECT, INSERT, UPDATE, CREATE, INDEX ON test1.* TO app@'127.0.0.1'"}
	}
	filled(t, url, grant...)
	if name == "mariadb" {
		filled(t, url, tableGrants(t, url)...)
	}
	m = &mix{db: open(t, strings.NewReplacer("silod@", "app@", "root@", "app@").Replace(url), Options{})}
	for range messages {
		msg := text("old")
		add(t, m.db.Messages(), msg)
		m.deleted = append(m.deleted, msg.ID)
	}
	d, err := newDialect(url, &Options{})
	if err != nil {
		t.Fatal(err)
	}
	if admin, err = d.connect(t.Context(), forSchema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close() })
	return m, admin
}

// tableGrants returns the statements that grant app the right to delete from each table.
func tableGrants(t *testing.T, url string) (grants []string) {
	db, err := newDB(url, Options{}, false)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.layout.dialect.connect(t.Context(), forSchema)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	rows, err := pool.QueryContext(t.Context(), "SELECT CONCAT('GRANT DELETE ON test1.', table_name, \" TO app@'127.0.0.1'\") FROM information_schema.tables WHERE table_schema = 'test1'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		grants = append(grants, text)
	}
	return grants
}

func adminExec(t *testing.T, admin *sql.DB, statements ...string) {
	t.Helper()
	for _, text := range statements {
		if _, err := admin.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// TestRefusedDeletions: while the server refuses to delete, it stores, in the same
// transaction as before when the right is back.
func TestRefusedDeletions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ revoke, grant string }{
		"postgres": {"REVOKE DELETE ON silo FROM app", "GRANT DELETE ON silo TO app"},
		"mariadb":  {"REVOKE DELETE ON test1.silo FROM app@'127.0.0.1'", "GRANT DELETE ON test1.silo TO app@'127.0.0.1'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, admin := newMix(t, name, 50)
			adminExec(t, admin, c.revoke)
			for range 3 {
				if n := m.write(t, 200); n != 0 || m.failed() != 50 {
					t.Errorf("%d messages refused, %d deletions failed", n, m.failed())
				}
			}
			if m.longest > 5*time.Second {
				t.Errorf("a message waited %v", m.longest)
			}
			adminExec(t, admin, c.grant)
			if n := m.write(t, 200); n != 0 || m.failed() != 0 {
				t.Errorf("with the right, %d messages refused, %d deletions failed", n, m.failed())
			}
			if n := len(next(t, m.db.Messages(), 0, 2000)); n != 800 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

// TestLockedRow: a row that another program has locked delays only its own deletion.
func TestLockedRow(t *testing.T) {
	t.Parallel()
	for name := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, admin := newMix(t, name, 10)
			tx, err := admin.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.ExecContext(t.Context(), fmt.Sprintf("UPDATE silo SET ctype = 'x' WHERE id = %d", m.deleted[3])); err != nil {
				t.Fatal(err)
			}
			if n := m.write(t, 200); n != 0 || m.failed() == 0 {
				t.Errorf("%d messages refused, %d deletions failed", n, m.failed())
			}
			if m.longest > 5*time.Second {
				t.Errorf("a message waited %v", m.longest)
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			if n := m.write(t, 0); n != 0 || m.failed() != 0 {
				t.Errorf("%d deletions failed", m.failed())
			}
		})
	}
}

// TestForbiddenRow: a row that a trigger refuses, as an administrator may have added one,
// is refused alone.
func TestForbiddenRow(t *testing.T) {
	t.Parallel()
	for name, trigger := range map[string][]string{
		"postgres": {
			"CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.body = '13' THEN RAISE EXCEPTION 'forbidden'; END IF; RETURN NEW; END $$",
			"CREATE TRIGGER forbid BEFORE INSERT ON silo FOR EACH ROW EXECUTE FUNCTION forbid()",
		},
		"mariadb": {"CREATE TRIGGER forbid BEFORE INSERT ON silo FOR EACH ROW BEGIN IF NEW.body = '13' THEN SIGNAL SQLSTATE '45000'; END IF; END"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, admin := newMix(t, name, 20)
			adminExec(t, admin, trigger...)
			if n := m.write(t, 100); n != 1 || m.failed() != 0 {
				t.Errorf("%d messages refused, %d deletions failed", n, m.failed())
			}
		})
	}
}
