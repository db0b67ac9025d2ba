package db

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
)

// A textDB is a directory of Kamailio's db_text, with one file for each table. The tables are
// kept in an SQLite database in memory. Before a commit, flush writes every changed table
// completely to a temporary file, which then replaces the old file. This is for small
// systems and for moving data. Kamailio must not use the directory at the same time, because
// it keeps the tables in memory too.
type textDB struct {
	*sqliteDB
	dir       string
	name      string // of the database in memory
	keep      *sql.DB
	tables    []string          // in the order in which they are written
	headLines map[string]string // first lines of the files that exist
	contents  map[string][]byte // contents of the files
	readOnly  bool              // no file may be changed
	deferred  bool              // no file is written yet, because more changes follow
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
		name:      fmt.Sprintf("/silod-text-%d", textCount.Add(1)),
		headLines: map[string]string{}, contents: map[string][]byte{},
		tables: []string{
			"silod_meta", "silod_secret", "silod_stuck", "silod_device", "silod_stranger", "silod_binding",
			"silod_room", "silod_member", "silod_cursor", "silod_room_log", "silod_copy",
			"version", "subscriber", "location", "location_attrs", o.roomsTable(), o.membersTable(), "silo",
		},
	}
	if o.SiloTable != "" {
		d.tables[len(d.tables)-1] = o.SiloTable
	}
	return d, nil
}

// lockFiles implements dialect.
func (d *textDB) lockFiles(readOnly, _ bool) error {
	if d.readOnly = readOnly; readOnly {
		return checkExists(d.dir)
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return fmt.Errorf("cannot create directory %s: %w; create it for the user that runs silod, or set another db.url", d.dir, cause(err))
	}
	var err error
	d.lock, err = lockFile(filepath.Join(d.dir, ".silod.lock"), d.dir)
	return err
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
			err = d.load(ctx, d.keep, func(name string) bool { return !strings.HasPrefix(name, "silod_") })
		}
	}
	if err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// load reads files into tables, and creates the tables that do not exist.
func (d *textDB) load(ctx context.Context, pool *sql.DB, want func(string) bool) error {
	for _, name := range d.tables {
		if !want(name) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(d.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read table %s: %w", name, err)
		}
		t, err := readText(bytes.NewReader(data))
		if err == nil {
			err = d.insertRows(ctx, pool, name, t)
		}
		if err != nil {
			return fmt.Errorf("table %s: %w; repair the file, or set another db.url", filepath.Join(d.dir, name), err)
		}
		d.contents[name] = data
		if !strings.HasPrefix(name, "silod_") { // those have the columns of the schema, which may be more
			head, _, _ := bytes.Cut(data, []byte("\n"))
			d.headLines[name] = string(head)
		}
	}
	return nil
}

// insertRows inserts the rows of a file into the table of that name, and creates the table
// where it does not exist.
func (d *textDB) insertRows(ctx context.Context, pool *sql.DB, name string, t *textTable) error {
	existing, err := d.columns(ctx, pool, name)
	if err != nil {
		return err
	}
	var names, columns []string
	for _, c := range t.columns {
		names = append(names, c.name)
		columns = append(columns, c.name+" "+c.declared())
	}
	if existing == nil {
		if _, err := pool.ExecContext(ctx, "CREATE TABLE "+name+" ("+strings.Join(columns, ", ")+textKeys(names)+")"); err != nil {
			return err
		}
	}
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	st, err := tx.PrepareContext(ctx,
		"INSERT OR REPLACE INTO "+name+" ("+strings.Join(names, ",")+") VALUES ("+placeholders(len(names))+")")
	if err != nil {
		return err
	}
	defer st.Close()
	for _, row := range t.rows {
		if _, err := st.ExecContext(ctx, row...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// declared returns the column's type in SQLite, with a default in place of NULL.
func (c textColumn) declared() string {
	switch {
	case c.auto:
		return "INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL"
	case c.kind == "int":
		return "INTEGER DEFAULT 0"
	case c.kind == "double":
		return "REAL DEFAULT 0"
	}
	return "TEXT DEFAULT ''"
}

// textKeys returns the unique key of a table with these columns, for the tables that silod
// writes by upsert. The files have no keys.
func textKeys(columns []string) string {
	for _, key := range [][]string{{"name", "domain", "flag"}, {"username", "domain", "room"}} {
		if !slices.ContainsFunc(key, func(k string) bool { return !slices.Contains(columns, k) }) {
			key = slices.DeleteFunc(key, func(k string) bool { return k == "flag" })
			return ", UNIQUE (" + strings.Join(key, ",") + ")"
		}
	}
	return ""
}

// ready implements dialect. It loads silod's own tables, which exist by now, and writes the
// tables that have no file yet.
func (d *textDB) ready(ctx context.Context, l *layout, pool *sql.DB) error {
	if err := d.load(ctx, pool, func(name string) bool { return strings.HasPrefix(name, "silod_") }); err != nil {
		return err
	}
	if d.readOnly {
		return nil
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := d.flush(newSession(l, conn)); err != nil {
		return fmt.Errorf("write directory %s: %w; give the user that runs silod the right to write there, or set another db.url", d.dir, cause(err))
	}
	return nil
}

// flush implements dialect. It writes the tables that differ from their files. A table that
// cannot be written fails the transaction.
func (d *textDB) flush(s *session) error {
	if d.deferred {
		return nil
	}
	for _, name := range d.tables {
		t, err := d.dump(s, name)
		if err != nil {
			return fmt.Errorf("table %s: %w", name, err)
		}
		limit := textFieldMax
		if strings.HasPrefix(name, "silod_") {
			limit = math.MaxInt // Kamailio does not read this file
		}
		text, err := t.write(limit)
		if err != nil {
			return fmt.Errorf("table %s: %w", name, err)
		}
		if bytes.Equal(text, d.contents[name]) || len(t.rows) == 0 && d.contents[name] == nil && strings.HasPrefix(name, "silod_") {
			continue
		}
		if err := replaceFile(filepath.Join(d.dir, name), text); err != nil {
			return fmt.Errorf("table %s: %w", name, err)
		}
		d.contents[name] = text
	}
	return nil
}

// dump reads a table, its columns in the order of the file.
func (d *textDB) dump(s *session, name string) (*textTable, error) {
	t, err := d.describe(s, name)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, c := range t.columns {
		names = append(names, c.name)
	}
	rows, err := s.conn.QueryContext(context.Background(), "SELECT "+strings.Join(names, ",")+" FROM "+name+" ORDER BY 1")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		row := make([]any, len(names))
		ptrs := make([]any, len(names))
		for i := range row {
			ptrs[i] = &row[i]
		}
		if err := scan(rows, ptrs...); err != nil {
			return nil, err
		}
		t.rows = append(t.rows, row)
	}
	return t, rows.Err()
}

// describe returns the columns of a table: those of its file, or of the schema where it
// has no file.
func (d *textDB) describe(s *session, name string) (*textTable, error) {
	if head, ok := d.headLines[name]; ok {
		return readText(strings.NewReader(head))
	}
	rows, err := s.conn.QueryContext(context.Background(), "SELECT name, type, \"notnull\", pk > 0 FROM pragma_table_info(?)", name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	t := &textTable{}
	for rows.Next() {
		var c textColumn
		var typ string
		var notnull, pk bool
		if err := scan(rows, &c.name, &typ, &notnull, &pk); err != nil {
			return nil, err
		}
		switch declared(typ).kind {
		case "integer", "timestamp without time zone":
			c.kind = "int"
		case "real":
			c.kind = "double"
		default:
			c.kind = "string"
		}
		c.null = !notnull
		c.auto = pk && c.kind == "int" && !strings.HasPrefix(name, "silod_")
		t.columns = append(t.columns, c)
	}
	return t, rows.Err()
}

// replaceFile replaces a file. At any moment either the old or the new file exists,
// whole.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".silod-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o640)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the renaming of a file durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// fault implements dialect.
func (d *textDB) fault(err error) fault {
	if errors.Is(err, errTextField) {
		return faultRow
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
