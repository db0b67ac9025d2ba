package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
)

// A textDB is a directory of Kamailio's db_text, with one file for each table. The tables are
// kept in an SQLite database in memory. Before a commit, flush writes the lines of the changed
// rows: a file with them replaces the old one. This is for small systems and for moving data.
// Kamailio must not use the directory at the same time, because it keeps the tables in memory too.
//
// A row is its line. In memory it has a number of its own, which is the id in its line where that
// is positive and not that of a row before it.
type textDB struct {
	*sqliteDB
	dir      string
	name     string // of the database in memory
	keep     *sql.DB
	tables   []*textTable // in the order in which they are written
	silo     *textTable
	siloID   string // the configured name of the column with the number of a message
	readOnly bool   // no file may be changed
	deferred bool   // no file is written yet, because more changes follow
	log      *slog.Logger
}

// A textTable is a table of a textDB.
type textTable struct {
	name   string
	own    bool        // of silod
	serial string      // the column that numbers the rows in memory
	file   *textFile   // nil: none yet
	info   fs.FileInfo // of the file as it was last read or written
	behind bool        // the file may be that of a transaction that failed

	renumbered map[int64]bool // rows that have another id in the file
}

// textCount numbers the databases in memory of this process.
var textCount atomic.Int64

// newText returns the engine for a directory, which need not exist. The table silo is written
// last: a crash in between leaves no new message without its header block.
func newText(dir string, o *Options) (dialect, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", dir, err)
	}
	d := &textDB{
		sqliteDB: &sqliteDB{path: dir, unixTimes: true}, dir: dir,
		name:   fmt.Sprintf("/silod-text-%d", textCount.Add(1)),
		siloID: strings.ToLower(o.Silo.ID), log: o.Log,
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	silo := o.SiloTable
	if silo == "" {
		silo = "silo"
	}
	names := []string{
		"silod_meta", "silod_secret", "silod_stuck", "silod_device", "silod_stranger", "silod_binding", "silod_location",
		"silod_room", "silod_member", "silod_cursor", "silod_room_log", "silod_block", "silod_copy",
		"version", "subscriber", "location", "location_attrs", o.roomsTable(), o.membersTable(), silo,
	}
	if _, err := os.Stat(filepath.Join(dir, "dbaliases")); err == nil { // silod does not create it
		names = slices.Insert(names, 0, "dbaliases")
	}
	for _, name := range names {
		d.tables = append(d.tables, &textTable{name: name, own: strings.HasPrefix(name, "silod_"), serial: "id"})
	}
	d.silo = d.tables[len(d.tables)-1]
	if d.siloID != "" {
		d.silo.serial = d.siloID
	}
	return d, nil
}

// lockFiles implements dialect. It removes what a silod that was killed has left behind.
func (d *textDB) lockFiles(readOnly, existing bool) error {
	d.readOnly = readOnly
	if readOnly || existing {
		if err := checkExists(d.dir); err != nil || readOnly {
			return err
		}
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return fmt.Errorf("cannot create directory %s: %w; create it for the user that runs silod, or set another db.url", d.dir, cause(err))
	}
	var err error
	if d.lock, err = lockFile(filepath.Join(d.dir, ".silod.lock"), d.dir); err != nil {
		return err
	}
	return d.repairFiles()
}

// connect implements dialect. The first call also loads Kamailio's tables; ready loads those
// of silod, which are created in between.
func (d *textDB) connect(ctx context.Context, r role) (*sql.DB, error) {
	dsn := "file:" + d.name + "?" + url.Values{"vfs": {"memdb"}, "_pragma": {"busy_timeout(5000)"}}.Encode()
	pool, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, d.explain(err)
	}
	if r == forReading {
		pool.SetMaxOpenConns(sqliteReaders)
		return pool, nil
	}
	pool.SetMaxOpenConns(1)
	if d.keep == nil { // the database in memory lasts as long as a connection to it
		if d.keep, err = sql.Open("sqlite", dsn); err == nil {
			d.keep.SetMaxOpenConns(1)
			err = d.keep.PingContext(ctx)
		}
		if err == nil {
			err = d.load(ctx, d.keep, false)
		}
	}
	if err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// load reads the files of silod's own tables, or of the others.
func (d *textDB) load(ctx context.Context, pool *sql.DB, own bool) error {
	if !own {
		if _, err := pool.ExecContext(ctx, "CREATE TABLE text_changes (name TEXT NOT NULL, number INTEGER)"); err != nil {
			return err
		}
	}
	for _, t := range d.tables {
		if t.own != own {
			continue
		}
		path := filepath.Join(d.dir, t.name)
		f, info, err := readTextFile(path, own)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			if t.file, t.info = f, info; !own {
				d.number(t)
			}
			err = d.insertRows(ctx, pool, t)
		}
		if err == nil && !own && !d.readOnly {
			err = d.watch(ctx, pool, t)
		}
		if err != nil {
			return fmt.Errorf("table %s: %w; repair the file, or set another db.url", path, err)
		}
		if f.refused != "" {
			d.log.Warn("table has rows that Kamailio does not read; silod uses them", "file", path, "first", f.refused)
		}
	}
	return nil
}

// number gives the rows of a file their numbers in memory.
func (d *textDB) number(t *textTable) {
	has := func(name string) bool { _, ok := t.file.column(name); return ok }
	if t == d.silo && !has(t.serial) {
		t.serial = "id"
		if d.siloID == "" && has("mid") { // of old versions, see layout.nameMessages
			t.serial = "mid"
		}
	}
	t.renumbered = t.file.number(t.serial)
}

// insertRows inserts the rows of a file into the table of that name, and creates the table. silod's
// own tables exist, unless the directory was opened for reading only.
func (d *textDB) insertRows(ctx context.Context, pool *sql.DB, t *textTable) error {
	verb, columns := "INSERT OR REPLACE", t.file.inMemory("")
	if !t.own {
		verb, columns = "INSERT", t.file.inMemory(t.serial)
	}
	if existing, err := d.columns(ctx, pool, t.name); err != nil {
		return err
	} else if existing == nil {
		if err := d.create(ctx, pool, t, columns); err != nil {
			return err
		}
	}
	names := t.file.quoted(columns)
	if !t.own {
		names = append(names, t.serial)
	}
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	st, err := tx.PrepareContext(ctx, insertText(verb, t.name, names))
	if err != nil {
		return err
	}
	defer st.Close()
	for _, l := range t.file.lines {
		values := t.file.pick(l.raw, columns)
		if values == nil {
			continue
		}
		if !t.own {
			values = append(values, l.number)
		}
		if _, err := st.ExecContext(ctx, values...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// insertText returns the statement that inserts a row.
func insertText(verb, table string, names []string) string {
	return verb + " INTO " + table + " (" + strings.Join(names, ",") + ") VALUES (" + placeholders(len(names)) + ")"
}

// create creates the table of a file in memory. The files have no keys.
func (d *textDB) create(ctx context.Context, pool *sql.DB, t *textTable, columns []int) error {
	var definitions []string
	if !t.own {
		definitions = append(definitions, t.serial+" INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL")
	}
	for _, i := range columns {
		definitions = append(definitions, t.file.columns[i].declared())
	}
	if _, err := pool.ExecContext(ctx, "CREATE TABLE "+t.name+" ("+strings.Join(definitions, ", ")+")"); err != nil {
		return err
	}
	for _, key := range [][]string{{"name", "domain"}, {"username", "domain", "room"}, {"ruid"}} {
		if slices.ContainsFunc(key, func(k string) bool { _, ok := t.file.column(k); return !ok }) {
			continue
		}
		_, err := pool.ExecContext(ctx, "CREATE INDEX text_"+t.name+"_idx ON "+t.name+" ("+strings.Join(key, ",")+")")
		return err
	}
	return nil
}

// declared returns the column's definition in SQLite, with a default where it is not null.
func (c *textColumn) declared() string {
	typ, zero := "TEXT", "''"
	switch c.kind {
	case textInt:
		typ, zero = "INTEGER", "0"
	case textDouble:
		typ, zero = "REAL", "0"
	}
	if c.null {
		zero = "NULL"
	}
	return `"` + c.name + `" ` + typ + " DEFAULT " + zero
}

// watch has the database note the numbers of changed rows, or that silod's own table has changed.
func (d *textDB) watch(ctx context.Context, pool *sql.DB, t *textTable) error {
	for event, rows := range map[string][]string{"INSERT": {"NEW"}, "UPDATE": {"OLD", "NEW"}, "DELETE": {"OLD"}} {
		var notes []string
		for _, row := range rows {
			number := row + "." + t.serial
			if t.own {
				number = "NULL"
			}
			notes = append(notes, "INSERT INTO text_changes VALUES ('"+t.name+"', "+number+"); ")
		}
		text := "CREATE TRIGGER text_" + t.name + "_" + event + " AFTER " + event + " ON " + t.name +
			" BEGIN " + strings.Join(notes, "") + "END"
		if _, err := pool.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// addTable adds a table that was created in memory and has no file yet. It is called while no file is
// written.
func (d *textDB) addTable(ctx context.Context, name string) error {
	t := &textTable{name: name, serial: "id"}
	if err := d.watch(ctx, d.keep, t); err != nil {
		return err
	}
	d.tables = slices.Insert(d.tables, 0, t)
	return nil
}

// oldLocation reports whether silod does not use the table location, see layout.nameBindings.
func (d *textDB) oldLocation() bool {
	return slices.ContainsFunc(d.tables, func(t *textTable) bool {
		if t.name != "location" || t.file == nil {
			return false
		}
		_, ok := t.file.column("ruid")
		return !ok
	})
}

// ready implements dialect. It loads silod's own tables, which exist by now, and writes the
// tables that have no file yet.
func (d *textDB) ready(ctx context.Context, l *layout, pool *sql.DB) error {
	d.tables = slices.DeleteFunc(d.tables, func(t *textTable) bool { return t.name == "silod_location" && !d.oldLocation() })
	if err := d.load(ctx, pool, true); err != nil {
		return err
	}
	if d.readOnly {
		return nil
	}
	for _, t := range d.tables {
		if t.own || t.file == nil {
			if err := d.watch(ctx, pool, t); err != nil {
				return fmt.Errorf("table %s: %w", t.name, err)
			}
		}
	}
	for _, name := range []string{l.messages.table, l.rooms.rooms.name, l.rooms.members.name, l.bindings.table.name} {
		path := filepath.Join(d.dir, name)
		if err := writable(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot write table %s: %w; give the user that runs silod the right to write the file, or set another db.url", path, cause(err))
		}
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	s := newSession(l, conn)
	defer s.close()
	if err := d.flush(s); err != nil {
		return fmt.Errorf("write directory %s: %w; give the user that runs silod the right to write there, or set another db.url", d.dir, cause(err))
	}
	return nil
}

// upsert implements dialect. Kamailio's tables have no keys here: of several rows with the values of
// a key, all are overwritten.
func (d *textDB) upsert(s *session, t *table, rows [][]any) error {
	if strings.HasPrefix(t.name, "silod_") {
		return d.sqliteDB.upsert(s, t, rows)
	}
	names := t.names()
	set := "UPDATE " + t.name + " SET " + strings.Join(names[t.keys:], " = ?, ") + " = ? WHERE " +
		strings.Join(names[:t.keys], " = ? AND ") + " = ?"
	add := insertText("INSERT", t.name, names)
	for _, row := range rows {
		row = d.args(t, row, false)
		res, err := s.raw(set, slices.Concat(row[t.keys:], row[:t.keys])...)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			if err != nil {
				return err
			}
			continue
		}
		if _, err := s.raw(add, row...); err != nil {
			return err
		}
	}
	return nil
}

// fault implements dialect.
func (d *textDB) fault(err error) fault {
	switch {
	case errors.Is(err, errTextField):
		return faultRow
	case errors.Is(err, errTextChanged):
		return faultRetry
	}
	return d.sqliteDB.fault(err)
}

// close implements dialect. It discards the database in memory.
func (d *textDB) close() error {
	var err error
	if d.keep != nil {
		err = d.keep.Close()
	}
	return errors.Join(err, d.sqliteDB.close())
}
