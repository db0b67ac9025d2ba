package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// An sqliteDB is the embedded engine, and the base of textDB. One connection writes. Readers
// do not wait for it (WAL), and every commit is durable (synchronous=FULL).
type sqliteDB struct {
	path  string
	lock  *fileLock
	reuse bool  // the table silo would use the IDs of deleted rows again; silod numbers its rows
	last  int64 // the highest ID that silod has used

	unixTimes bool // the times of location are numbers, as in db_text and with Kamailio's expires_type=1
}

// sqliteReaders is the number of connections for reading.
const sqliteReaders = 4

// newSQLite returns the engine for a database file, which need not exist.
func newSQLite(path string) (dialect, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	return &sqliteDB{path: path}, nil
}

func (d *sqliteDB) traits() traits { return traits{prepare: true} }

// lockFiles implements dialect. It locks a file beside the database: to open and close the
// database file here would end the locks that SQLite has on it (POSIX, fcntl).
func (d *sqliteDB) lockFiles(readOnly, existing bool) error {
	if readOnly || existing {
		if err := checkExists(d.path); err != nil || readOnly {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(d.path), 0o700); err != nil {
		return fmt.Errorf("cannot create the directory of database %s: %w; create it for the user that runs silod, or set another db.url", d.path, cause(err))
	}
	if info, err := os.Stat(d.path); err == nil && info.IsDir() {
		return fmt.Errorf("database %s is a directory: add the name of a file, sqlite:%s", d.path, filepath.Join(d.path, "silod.db"))
	}
	var err error
	d.lock, err = lockFile(d.path+".lock", d.path)
	return err
}

func (d *sqliteDB) close() error { return d.lock.close() }

// checkExists returns an error for a database that does not exist. Connecting would
// create it.
func checkExists(path string) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("database %s is missing: %w; `siloctl db init` creates it", path, cause(err))
	}
	return nil
}

// cause returns an error without the operation and the path, which the message around it
// has already.
func cause(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// connect implements dialect. A check opens the file without WAL, because that would change
// the format of the file.
func (d *sqliteDB) connect(ctx context.Context, r role) (*sql.DB, error) {
	params, conns := url.Values{"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)"}}, 1
	switch r {
	case forReading:
		params, conns = url.Values{"_pragma": {"busy_timeout(5000)", "query_only(1)"}}, sqliteReaders
	case forSource:
		params = url.Values{"_pragma": {"busy_timeout(5000)"}, "mode": {"ro"}}
		if !d.state().pending {
			params.Set("immutable", "1") // SQLite takes no lock and makes no file
		}
	case forCheck:
		params = url.Values{"_pragma": {"busy_timeout(5000)"}, "mode": {"rw"}}
	}
	pool, err := sql.Open("sqlite", fileURI(d.path)+"?"+params.Encode())
	if err != nil {
		return nil, d.explain(err)
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	if _, err := pool.ExecContext(ctx, "SELECT COUNT(*) FROM sqlite_master"); err != nil {
		pool.Close()
		if r == forSource && d.state().pending {
			return nil, fmt.Errorf("cannot read database %s: %w; its last changes are in %[1]s-wal or %[1]s-journal: have the program that uses it close it, or copy these files to a directory that you can write", d.path, err)
		}
		return nil, d.explain(err)
	}
	return pool, nil
}

// fileURI returns the URI of a file, which SQLite takes with any character in its name.
func fileURI(path string) string {
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String()
}

// explain implements dialect.
func (d *sqliteDB) explain(err error) error {
	if se, ok := errors.AsType[*sqlite.Error](err); ok {
		switch se.Code() & 0xff {
		case lib.SQLITE_NOTADB, lib.SQLITE_CORRUPT:
			return fmt.Errorf("%s is not an SQLite database, or is damaged: move it, so that silod creates a new one, or set another db.url", d.path)
		case lib.SQLITE_CANTOPEN, lib.SQLITE_PERM, lib.SQLITE_READONLY:
			return fmt.Errorf("cannot write database %s: give the user that runs silod the right to write the file and its directory, or set another db.url", d.path)
		case lib.SQLITE_FULL:
			return fmt.Errorf("no space left for database %s: free some space, or set another db.url", d.path)
		}
	}
	return fmt.Errorf("database %s: %w", d.path, err)
}

func (d *sqliteDB) schema() string         { return "sqlite" }
func (d *sqliteDB) bind(text string) query { return positional(text) }

func (d *sqliteDB) fragments() fragments {
	return fragments{
		begin:  "BEGIN IMMEDIATE",
		number: "CAST(%s AS INTEGER)",
		raw:    "%s", sender: "%s || ''", exact: "%.0s", pair: "%.0s%.0s", both: "%s || '@' || %s",
		roomLog:   "FROM silod_room_log INDEXED BY silod_room_log_room_idx WHERE room = $1 AND seq > $2 AND seq < $3 ORDER BY seq %[1]s",
		findIndex: "SELECT 1 FROM sqlite_master WHERE type = 'index' AND lower(tbl_name) = lower($1) AND lower(name) = lower($2)",
		snapshot:  []string{"BEGIN"},
		schemaBegin: []string{
			"BEGIN IMMEDIATE",
			"CREATE TABLE IF NOT EXISTS silod_schema (version INTEGER PRIMARY KEY NOT NULL, at INTEGER NOT NULL)",
		},
		schemaEnd: []string{"COMMIT"}, schemaUndo: []string{"ROLLBACK"},
	}
}

// time implements dialect. It reads the Julian day that Kamailio's db_sqlite writes, and the
// unix seconds of other programs.
func (d *sqliteDB) time(v any) (int64, error) {
	switch v := v.(type) {
	case float64:
		return unixOfJulian(v), nil
	case int64:
		if v > 0 && v < minUnix && !d.unixTimes { // a Julian day at noon, which SQLite stores as an integer
			return unixOfJulian(float64(v)), nil
		}
		return v, nil // Kamailio's expires_type=1
	case time.Time:
		return v.Unix(), nil
	case string: // a person's, as in datetime('now')
		if t, err := time.Parse(time.DateTime, v); err == nil {
			return t.Unix(), nil
		}
	}
	return 0, fmt.Errorf("%v is not a time", v)
}

// timeRanges implements dialect. A table may have both forms of times, see time.
func (d *sqliteDB) timeRanges(from, to int64) [][2]any {
	ranges := [][2]any{{max(from, minUnix), to}}
	if !d.unixTimes {
		ranges = append(ranges, [2]any{julian(from), julian(to)})
	}
	return ranges
}

// minUnix is the smallest number that is not a Julian day.
const minUnix = 1e8

// timeValue returns a time as Kamailio writes it.
func (d *sqliteDB) timeValue(unix int64) any {
	if d.unixTimes {
		return unix
	}
	return julian(unix)
}

func (d *sqliteDB) renumber(*session) error { return nil }

func (d *sqliteDB) reuses() bool { return d.reuse }

func (d *sqliteDB) skipNumbers(*session, *table, int64) error { return nil }

func (d *sqliteDB) headersFit(columnInfo, string) bool { return true }

func (d *sqliteDB) decodeHeaders(stored []byte) []byte { return stored }

// ready implements dialect. Without AUTOINCREMENT the table silo would use IDs again.
func (d *sqliteDB) ready(ctx context.Context, l *layout, pool *sql.DB) error {
	var made string
	err := scan(pool.QueryRowContext(ctx, "SELECT sql FROM sqlite_master WHERE type = 'table' AND lower(name) = lower(?)", l.messages.table), &made)
	if err != nil {
		return fmt.Errorf("inspect table %s: %w", l.messages.table, err)
	}
	d.reuse = !strings.Contains(strings.ToUpper(made), "AUTOINCREMENT")
	d.unixTimes = d.unixTimes || l.bindings.unixTimes()
	return nil
}

// insert implements dialect, row by row: the embedded engine has no round trips to save.
func (d *sqliteDB) insert(s *session, t *table, rows [][]any) ([]int64, error) {
	names := t.names()
	reuse := d.reuse && t.serial != "" && t.name != "silod_room_log"
	if reuse {
		names = append([]string{t.serial}, names...)
		if err := d.raiseLast(s, t); err != nil {
			return nil, err
		}
	}
	//nolint:sqlclosecheck // the session keeps it
	st, err := s.stmt("INSERT INTO " + t.name + " (" + strings.Join(names, ",") + ") VALUES (" + placeholders(len(names)) + ")")
	if err != nil {
		return nil, err
	}
	ids := make([]int64, len(rows))
	for i, row := range rows {
		if reuse {
			if d.last == math.MaxInt64 {
				return nil, errNumbersEnd
			}
			d.last++
			row = append([]any{d.last}, row...)
		}
		res, err := st.ExecContext(context.Background(), d.args(t, row, reuse)...)
		if err != nil {
			return nil, err
		}
		if ids[i], err = res.LastInsertId(); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// raiseLast sets last to the highest ID in use, unless it is higher already. A table that
// Kamailio created uses the IDs of deleted rows again, and a late deletion by ID would
// then hit another message.
func (d *sqliteDB) raiseLast(s *session, t *table) error {
	n, err := s.ints("SELECT COALESCE(MAX(" + t.serial + "), 0) FROM " + t.name)
	if err != nil {
		return err
	}
	d.last = max(d.last, n[0])
	return nil
}

// args converts values in place to the form in which Kamailio stores them. A second call, at
// the next attempt, leaves converted values as they are. numbered is set if the row begins
// with its number.
func (d *sqliteDB) args(t *table, row []any, numbered bool) []any {
	first := 0
	if numbered {
		first = 1
	}
	for i, f := range t.fields {
		switch v := row[first+i].(type) {
		case string:
			if f.kind == kindHeaders {
				row[first+i] = []byte(v)
			}
		case int64:
			if f.kind == kindTime {
				row[first+i] = d.timeValue(v)
			}
		}
	}
	return row
}

// julian returns a time as Kamailio's db_sqlite writes it: the Julian day in UTC.
func julian(unix int64) float64 { return float64(unix)/86400 + 2440587.5 }

// unixOfJulian is the reverse, rounded as by Kamailio.
func unixOfJulian(day float64) int64 { return int64(86400*(day-2440587.5) + 0.5) }

// upsert implements dialect.
func (d *sqliteDB) upsert(s *session, t *table, rows [][]any) error {
	names := t.names()
	text := "INSERT INTO " + t.name + " (" + strings.Join(names, ",") + ") VALUES (" + placeholders(len(names)) + ")" + onConflict(t, "max")
	for _, row := range rows {
		if _, err := s.raw(text, d.args(t, row, false)...); err != nil {
			return err
		}
	}
	return nil
}

// update implements dialect. The placeholders of the key are the last ones.
func (d *sqliteDB) update(s *session, t *table, rows [][]any) error {
	names := t.names()
	text := "UPDATE " + t.name + " SET " + strings.Join(names[t.keys:], " = ?, ") + " = ? WHERE " +
		strings.Join(names[:t.keys], " = ? AND ") + " = ?"
	for _, row := range rows {
		row = d.args(t, row, false)
		args := append(append([]any{}, row[t.keys:]...), row[:t.keys]...)
		if _, err := s.raw(text, args...); err != nil {
			return err
		}
	}
	return nil
}

// list implements dialect. It passes the values as one JSON array, so that one prepared
// statement serves any number of them.
func (d *sqliteDB) list(column string, n int, values []any) (string, []any) {
	j, _ := json.Marshal(values) // strings and integers cannot fail
	return column + " IN (SELECT value FROM json_each($" + strconv.Itoa(n) + "))", []any{string(j)}
}

// fault implements dialect.
func (d *sqliteDB) fault(err error) fault {
	if errors.Is(err, errNumbersEnd) {
		return faultNumbers
	}
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return faultOther
	}
	switch se.Code() {
	case lib.SQLITE_CONSTRAINT_PRIMARYKEY, lib.SQLITE_CONSTRAINT_ROWID, lib.SQLITE_CONSTRAINT_UNIQUE:
		return faultDuplicate
	}
	switch se.Code() & 0xff {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return faultRetry
	case lib.SQLITE_CONSTRAINT, lib.SQLITE_TOOBIG, lib.SQLITE_MISMATCH:
		return faultRow
	case lib.SQLITE_FULL, lib.SQLITE_IOERR, lib.SQLITE_READONLY, lib.SQLITE_PERM, lib.SQLITE_AUTH, lib.SQLITE_ERROR:
		return faultDenied
	}
	return faultOther
}

func (d *sqliteDB) flush(*session) error { return nil }

func (d *sqliteDB) patience() *patience { return nil }

func (d *sqliteDB) endIdle(*session, string) error { return nil }

// durable implements dialect. A commit of SQLite that is not durable returns an error.
func (d *sqliteDB) durable() bool { return true }

// columns implements dialect. SQLite ignores the declared widths; silod observes them, so
// that every row fits into every engine.
func (d *sqliteDB) columns(ctx context.Context, q querier, table string) (map[string]columnInfo, error) {
	rows, err := q.QueryContext(ctx, "SELECT name, type, \"notnull\" = 0 FROM pragma_table_info(?)", table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var cols map[string]columnInfo
	for rows.Next() {
		var name, typ string
		var nullable bool
		if err := scan(rows, &name, &typ, &nullable); err != nil {
			return nil, err
		}
		if cols == nil {
			cols = map[string]columnInfo{}
		}
		c := declared(typ)
		c.nullable = nullable
		cols[strings.ToLower(name)] = c
	}
	return cols, rows.Err()
}

// declared parses a type such as "VARCHAR(64)".
func declared(typ string) columnInfo {
	kind, rest, _ := strings.Cut(strings.ToLower(typ), "(")
	width, _ := strconv.Atoi(strings.TrimSuffix(rest, ")"))
	return columnInfo{kind: strings.TrimSpace(kind), width: width}
}
