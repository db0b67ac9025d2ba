package db

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// OpenSource opens a database as the source of a Copy. It changes nothing in the database and
// creates no file beside it, needs no right but to read, and reads all tables as they are at one
// time. The database may lack tables: silod's own, and those of modules that a Kamailio does not
// use. It returns errInUse while a silod uses the database.
func OpenSource(ctx context.Context, url string, o Options) (*DB, error) {
	db, err := newDB(url, o, true)
	if err != nil {
		return nil, err
	}
	if err := db.openSource(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// openSource connects, with one connection and a transaction that lasts until Close, and inspects the
// tables.
func (db *DB) openSource(ctx context.Context) error {
	l := &db.layout
	pool, err := l.dialect.connect(ctx, forSource)
	if err != nil {
		return err
	}
	pool.SetMaxOpenConns(1)
	pool.SetConnMaxLifetime(0)
	db.reader.pool = pool
	if err := db.refuseUsed(ctx); err != nil {
		return err
	}
	if d, ok := l.dialect.(*textDB); ok {
		if err := d.ready(ctx, l, pool); err != nil {
			return err
		}
	}
	for _, text := range l.fragments.snapshot {
		if _, err := pool.ExecContext(ctx, text); err != nil {
			return l.dialect.explain(err)
		}
	}
	if db.snapshot, err = db.sourceState(ctx); err != nil {
		return err
	}
	if err := l.nameTables(ctx, pool); err != nil {
		return err
	}
	if _, err := l.missingVersions(ctx, pool); err != nil { // that of a newer silod
		return err
	}
	for _, t := range l.sharedTables() {
		info, err := l.dialect.columns(ctx, pool, t.name)
		if err != nil {
			return fmt.Errorf("inspect table %s: %w", t.name, err)
		}
		if info != nil {
			if err := t.complete(info); err != nil {
				return err
			}
		}
		t.accept(info)
	}
	if err := l.standIn(ctx, pool); err != nil {
		return err
	}
	if err := l.readUserColumns(ctx, pool); err != nil {
		return err
	}
	if info, err := l.dialect.columns(ctx, pool, "silod_copy"); err != nil || info == nil {
		return err
	}
	return db.refuseUnfinished(ctx)
}

// standIn has empty tables take the place of silod's tables that do not exist, in statements that
// join them with those of Kamailio.
func (l *layout) standIn(ctx context.Context, q querier) error {
	for _, t := range []*table{&metaTable, &stuckTable, &bindingTable} {
		info, err := l.dialect.columns(ctx, q, t.name)
		if err != nil {
			return fmt.Errorf("inspect table %s: %w", t.name, err)
		}
		if info != nil {
			continue
		}
		var columns []string
		for _, f := range t.fields {
			columns = append(columns, f.blank()+" AS "+f.name)
		}
		none := "(SELECT " + strings.Join(columns, ", ") + " FROM (SELECT 1 AS one) z WHERE 1 = 0)"
		l.standIns = append(l.standIns, "JOIN "+t.name, "JOIN "+none)
	}
	l.fill = l.replacer()
	return nil
}

// blank returns the value of a column that a table does not have.
func (f *field) blank() string {
	if f.kind == kindInt {
		return "0"
	}
	return "''"
}

// refuseUsed returns an error while a silod uses the database. It takes no lock that would keep one
// from starting.
func (db *DB) refuseUsed(ctx context.Context) error {
	switch d := db.layout.dialect.(type) {
	case *textDB:
		return refuseLocked(filepath.Join(d.dir, ".silod.lock"), d.dir)
	case *sqliteDB:
		return refuseLocked(d.path+".lock", d.path)
	}
	var used bool
	if err := scan(db.reader.pool.QueryRowContext(ctx, db.layout.fragments.lockHeld), &used); err != nil {
		return db.layout.dialect.explain(err)
	}
	if used {
		return fmt.Errorf("%s: %w", db.name(), errInUse)
	}
	return nil
}

// A sourceState shows that a Copy has read all rows as they were at one time.
type sourceState struct {
	session string // its transaction sees no change; "" for files
	file    fileState
}

// A fileState changes when a file is written.
type fileState struct {
	size    int64
	at      time.Time
	pending bool // changes are in another file
}

// sourceState returns the present state of a source.
func (db *DB) sourceState(ctx context.Context) (st sourceState, err error) {
	switch d := db.layout.dialect.(type) {
	case *textDB:
	case *sqliteDB:
		st.file = d.state()
	default:
		err = scan(db.reader.pool.QueryRowContext(ctx, db.layout.fragments.session), &st.session)
	}
	return st, busy(err)
}

// state returns the state of the file. Changes are in another one while a program writes, and
// after it has died. They are there all the time in the mode WAL, in which a transaction
// that reads sees no change.
func (d *sqliteDB) state() (st fileState) {
	for _, suffix := range []string{"-wal", "-journal"} {
		if info, err := os.Stat(d.path + suffix); err == nil && info.Size() > 0 {
			return fileState{pending: true}
		}
	}
	if info, err := os.Stat(d.path); err == nil {
		st.size, st.at = info.Size(), info.ModTime()
	}
	return st
}

// errChanged is the error of a Copy if its source was written meanwhile.
var errChanged = errors.New("it was changed during the copy: stop all programs that write to it, create the target again and repeat the copy")

// unchanged returns an error if a source may have been read in different states. A database that
// Open has opened is locked instead.
func (db *DB) unchanged(ctx context.Context) error {
	if db.snapshot == (sourceState{}) {
		return nil
	}
	now, err := db.sourceState(ctx)
	if err == nil && now != db.snapshot {
		err = fmt.Errorf("%s: %w", db.name(), errChanged)
	}
	return err
}
