package db

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"silod/imc"
	"silod/registrar"
)

// plan is what one transaction does, sorted by kind so that each kind is a
// statement or two, however many callers it serves.
type plan struct {
	adds     []*siloRow
	entries  []*imc.Entry
	cursors  []imc.Cursor
	bindings []registrar.Change
	steps    []func(*session) error
	deletes  []any // ids
}

// once tells whether running the plan twice would write something twice.
func (p *plan) once() bool { return len(p.adds)+len(p.entries)+len(p.steps) > 0 }

func (p *plan) run(db *DB, s *session) error {
	if err := db.insertMessages(s, p.adds); err != nil {
		return err
	}
	if err := db.appendEntries(s, p.entries); err != nil {
		return err
	}
	if err := db.saveBindings(s, p.bindings); err != nil {
		return err
	}
	for _, step := range p.steps {
		if err := step(s); err != nil {
			return err
		}
	}
	if err := db.saveCursors(s, p.cursors); err != nil {
		return err
	}
	_, err := db.deleteMessages(s, p.deletes)
	return err
}

// commit writes a batch and tells every caller. A batch with a row that the
// database cannot take is split by halves, so that only that row is refused.
func (db *DB) commit(batch []*op) {
	err := db.attempts(batch)
	if errors.Is(err, errInvalid) && len(batch) > 1 {
		half := len(batch) / 2
		db.commit(batch[:half])
		db.commit(batch[half:])
		return
	}
	for _, o := range batch {
		o.done(err)
	}
}

// attempts tries to commit a batch until it is committed, refused, or too old.
// The key makes the attempts one: where an earlier one was committed and its
// answer lost, the next one finds the key and is done.
func (db *DB) attempts(batch []*op) error {
	key := make([]byte, 16)
	_, _ = rand.Read(key)
	deadline := batch[0].since.Add(giveUp)
	pause := 20 * time.Millisecond
	doubt, failed := false, 0
	for {
		f, err := db.attempt(batch, key, deadline, &doubt)
		switch {
		case err == nil:
			db.health.set(db.log, nil)
			return nil
		case f == faultRow:
			return fmt.Errorf("%w: %w", errInvalid, err)
		}
		if failed++; failed > 1 || f == faultOther { // a connection that broke is no news
			db.health.set(db.log, err)
		}
		if f == faultOther || !db.now().Add(pause).Before(deadline) {
			if doubt {
				db.log.Error("outcome of a write is not known", "rows", len(batch), "error", err)
			}
			return fmt.Errorf("%w: %w", errBusy, err)
		}
		time.Sleep(pause)
		pause = min(2*pause, 500*time.Millisecond)
	}
}

// attempt runs one transaction. doubt is set when a commit got no answer, and
// then stays set until it is known what became of it.
func (db *DB) attempt(batch []*op, key []byte, deadline time.Time, doubt *bool) (fault, error) {
	s, err := db.session()
	if err != nil {
		return db.d.fault(err), fmt.Errorf("connect to database: %w", err)
	}
	if db.now().After(deadline) {
		return faultRetry, errLate
	}
	var p plan
	for _, o := range batch {
		o.join(&p)
	}
	s.now = db.now().Unix()
	fail := func(doing string, err error) (fault, error) {
		f := db.d.fault(err)
		// A server that wants us to try again may mean: elsewhere.
		if _, rerr := s.raw("ROLLBACK"); rerr != nil || db.keyed && f != faultRow {
			db.dropSession()
		}
		return f, fmt.Errorf("%s: %w", doing, err)
	}
	if _, err := s.raw(db.begin); err != nil {
		return fail("begin transaction", err)
	}
	if db.keyed && p.once() {
		_, err := s.exec("INSERT INTO silod_batch (batch_key, at) VALUES ($1, $2)", key, s.now)
		if err != nil && db.d.fault(err) == faultTwice {
			return db.confirm(s, doubt)
		}
		if err != nil {
			return fail("note batch", err)
		}
		*doubt = false // the key was not there, and now nobody else can write it
	}
	if err := db.forget(s); err != nil {
		return fail("forget old batches", err)
	}
	if err := p.run(db, s); err != nil {
		f, err := fail("write", err)
		if f == faultTwice {
			f = faultRow
		}
		return f, err
	}
	if err := db.d.flush(s); err != nil {
		return fail("write", err)
	}
	if _, err := s.raw("COMMIT"); err != nil {
		*doubt = db.keyed
		return fail("commit", err)
	}
	if !db.d.committed() {
		*doubt = true
		db.dropSession()
		return faultLost, errStandby
	}
	return 0, nil
}

// confirm ends an attempt that found its batch committed by an earlier one. A
// commit of its own makes sure that the earlier one is as durable as the
// database promises: with a synchronous standby it may have been cut off from
// its client while it waited for that.
func (db *DB) confirm(s *session, doubt *bool) (fault, error) {
	key := make([]byte, 16)
	_, _ = rand.Read(key)
	_, err := s.raw("ROLLBACK")
	if err == nil {
		_, err = s.exec("INSERT INTO silod_batch (batch_key, at) VALUES ($1, $2)", key, s.now)
	}
	if err != nil {
		db.dropSession()
		return faultLost, fmt.Errorf("confirm batch: %w", err)
	}
	*doubt = false
	return 0, nil
}

// forget deletes the keys of batches that nobody will try again, once a minute.
func (db *DB) forget(s *session) error {
	if !db.keyed || s.now < db.forgot+60 {
		return nil
	}
	db.forgot = s.now
	_, err := s.exec("DELETE FROM silod_batch WHERE at < $1", s.now-600)
	return err
}

var (
	errStandby = errors.New("committed, but not on the standby")
	errLate    = errors.New("connecting took too long")
)

// session gives the writer's connection, opening it where there is none. Only
// the writer's goroutine calls it.
func (db *DB) session() (*session, error) {
	if db.sess != nil {
		return db.sess, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := db.write.Conn(ctx)
	if err != nil {
		return nil, err
	}
	db.sess = &session{conn: conn, prepare: db.prepare, stmts: map[string]*sql.Stmt{}, d: db.d, fill: db.fill, watch: db.watch}
	return db.sess, nil
}

// dropSession throws the writer's connection away, and those of the readers that
// nobody uses: they lead to the same server, which may no longer be the one.
func (db *DB) dropSession() {
	if db.sess == nil {
		return
	}
	db.sess.drop()
	db.sess = nil
	if db.keyed {
		db.read.SetMaxIdleConns(0)
		db.read.SetMaxIdleConns(readerConns)
	}
}

// health logs when the database goes away and when it is back, once each.
type health struct{ err error }

func (h *health) set(log *slog.Logger, err error) {
	switch {
	case err != nil && h.err == nil:
		log.Error("database does not take writes", "error", err)
	case err == nil && h.err != nil:
		log.Info("database takes writes again")
	}
	h.err = err
}
