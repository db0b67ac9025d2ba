package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-sql-driver/mysql"
)

// A mysqlDB is MySQL or MariaDB. A bulk write is one statement with many rows of values. It
// is sent as text: to prepare a statement would cost a second round trip.
type mysqlDB struct {
	cfg       *mysql.Config
	returning bool // the server returns the numbers of inserted rows: MariaDB
	numbers   bool // the times of location are numbers
	waits     patience
}

// newMySQL returns the engine for a server.
func newMySQL(s server) (dialect, error) {
	cfg, err := mysqlConfig(s)
	if err != nil {
		return nil, s.bad(err)
	}
	return &mysqlDB{cfg: cfg}, nil
}

func (d *mysqlDB) traits() traits             { return traits{keyed: true} }
func (d *mysqlDB) lockFiles(bool, bool) error { return nil }
func (d *mysqlDB) close() error               { return nil }

// explain implements dialect. The numbers are those of the server's error messages.
func (d *mysqlDB) explain(err error) error {
	where := fmt.Sprintf("MySQL at %s, database %s", d.cfg.Addr, d.cfg.DBName)
	var me *mysql.MySQLError
	switch {
	case !errors.As(err, &me):
		return fmt.Errorf("%s does not answer: %s; start it, or set another db.url", where, oneLine(err))
	case me.Number == 1049:
		return fmt.Errorf("%s does not exist: create it with CREATE DATABASE, or set another db.url", where)
	case me.Number == 1045 || me.Number == 1044 || me.Number == 1698:
		return fmt.Errorf("%s refuses the user: %w; set user and password in db.url", where, err)
	case me.Number == 1142:
		return fmt.Errorf("%s: %w; run as its owner: GRANT ALL ON %s.* TO %s", where, err, d.cfg.DBName, d.cfg.User)
	}
	return fmt.Errorf("%s: %w", where, err)
}

func (d *mysqlDB) schema() string         { return "mysql" }
func (d *mysqlDB) bind(text string) query { return positional(text) }

// fragments implements dialect. Tables that Kamailio created ignore case in comparisons. So
// user names are compared twice: by the index, which ignores case, and then byte by byte.
func (d *mysqlDB) fragments() fragments {
	return fragments{
		begin: "START TRANSACTION", lockTimeout: "SET SESSION innodb_lock_wait_timeout = 1, lock_wait_timeout = 1",
		number: "%s",
		raw:    "CAST(%s AS BINARY)", key: "CAST(%s AS BINARY)", exact: " AND CAST(CONVERT(%s USING utf8mb4) AS BINARY) = $#",
		pair:      ", CAST(%s AS BINARY), CAST(%s AS BINARY)",
		both:      "CAST(CONCAT(%s, '@', %s) AS BINARY)",
		forUpdate: "FOR UPDATE",
		roomLog:   "FROM silod_room_log FORCE INDEX (silod_room_log_room_idx) WHERE room = $1 AND seq > $2 AND seq < $3 ORDER BY seq %[1]s",
		findIndex: "SELECT DISTINCT 1 FROM information_schema.statistics " +
			"WHERE table_schema = DATABASE() AND table_name = $1 AND index_name = $2",
		backup:   "mariadb-dump --single-transaction, or mysqldump --single-transaction",
		lock:     "SELECT COALESCE(GET_LOCK(CONCAT('silod.', DATABASE()), 0), 0)",
		lockHeld: "SELECT COALESCE(IS_USED_LOCK(CONCAT('silod.', DATABASE())), 0) > 0",
		snapshot: []string{
			"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SET SESSION TRANSACTION READ ONLY",
			"START TRANSACTION WITH CONSISTENT SNAPSHOT",
		},
		session: "SELECT " + mysqlSession + " FROM information_schema.processlist WHERE id = CONNECTION_ID()",
		busy:    "SELECT 1 FROM information_schema.processlist WHERE " + mysqlSession + " = $1 AND command <> 'Sleep'",
		unanswered: "SHOW PROCESSLIST says for what it waits: end FLUSH TABLES WITH READ LOCK, " +
			"or start the replica that must confirm commits",
		durabilityWarning: "SELECT CONCAT('is of the storage engine ', engine, ', which keeps no promise when the server dies: ALTER TABLE ', table_name, ' ENGINE=InnoDB') " +
			"FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = $1 AND engine <> 'InnoDB'",
		schemaBegin: []string{
			"DO GET_LOCK('silod_schema', 60)",
			"CREATE TABLE IF NOT EXISTS silod_schema (version INTEGER PRIMARY KEY NOT NULL, at BIGINT NOT NULL) ENGINE=InnoDB",
		},
		lockIndexes:   "SELECT COALESCE(GET_LOCK(CONCAT('silod_indexes.', LEFT(DATABASE(), 50)), 0), 0)",
		unlockIndexes: "DO RELEASE_LOCK(CONCAT('silod_indexes.', LEFT(DATABASE(), 50)))",
		schemaEnd:     []string{"DO RELEASE_LOCK('silod_schema')"}, schemaUndo: []string{"DO RELEASE_LOCK('silod_schema')"},
	}
}

// values returns rows as a list of tuples, with their arguments.
func (d *mysqlDB) values(t *table, rows [][]any) (string, []any) {
	tuple := "(" + placeholders(len(t.fields)) + ")"
	args := make([]any, 0, len(rows)*len(t.fields))
	for _, row := range rows {
		args = append(args, d.args(t, row)...)
	}
	return strings.TrimSuffix(strings.Repeat(tuple+",", len(rows)), ","), args
}

// args returns a row in the form in which Kamailio stores it.
func (d *mysqlDB) args(t *table, row []any) []any {
	out := make([]any, len(row))
	for i, f := range t.fields {
		out[i] = row[i]
		switch v := row[i].(type) {
		case string:
			if f.kind == kindHeaders {
				out[i] = []byte(v)
			}
		case int64:
			if f.kind == kindTime {
				out[i] = d.timeValue(v)
			}
		}
	}
	return out
}

// quoted returns the names of the columns in backquotes, because some are reserved words.
func quoted(t *table) []string {
	names := t.names()
	for i, n := range names {
		names[i] = "`" + n + "`"
	}
	return names
}

// insert implements dialect. MariaDB returns the numbers of the rows; MySQL returns the
// number of the first row.
func (d *mysqlDB) insert(s *session, t *table, rows [][]any) ([]int64, error) {
	tuples, args := d.values(t, rows)
	text := "INSERT INTO " + t.name + " (" + strings.Join(quoted(t), ",") + ") VALUES " + tuples
	if t.serial == "" {
		_, err := s.raw(text, args...)
		return nil, err
	}
	if d.returning {
		ids, err := scanInts(s.rows(text+" RETURNING "+t.serial, args...))
		if err == nil && len(ids) != len(rows) {
			err = fmt.Errorf("%d rows inserted instead of %d", len(ids), len(rows))
		}
		return ids, err
	}
	res, err := s.raw(text, args...)
	if err != nil {
		return nil, err
	}
	first, err := res.LastInsertId()
	if err != nil {
		return nil, err
	}
	// The numbers of the other rows follow in steps of this variable (3 in a cluster of three
	// servers), without a gap.
	step, err := s.ints("SELECT @@auto_increment_increment")
	if err != nil {
		return nil, err
	}
	ids := make([]int64, len(rows))
	for i := range ids {
		ids[i] = first + int64(i)*step[0]
	}
	return ids, nil
}

// upsert implements dialect. The key of t has to be a unique key in the database.
func (d *mysqlDB) upsert(s *session, t *table, rows [][]any) error {
	tuples, args := d.values(t, rows)
	names := quoted(t)
	var set []string
	if t.keys == len(t.fields) {
		set = append(set, names[0]+" = "+names[0]) // changes nothing
	}
	for i, f := range t.fields[t.keys:] {
		n := names[t.keys+i]
		v := "VALUES(" + n + ")"
		if f.max {
			v = "GREATEST(" + n + ", " + v + ")"
		}
		set = append(set, n+" = "+v)
	}
	_, err := s.raw("INSERT INTO "+t.name+" ("+strings.Join(names, ",")+") VALUES "+tuples+
		" ON DUPLICATE KEY UPDATE "+strings.Join(set, ", "), args...)
	return err
}

// update implements dialect. It joins the table with the rows. The first key stands in a
// condition of its own: no index is used to compare it with that of the rows if the table has
// another character set.
func (d *mysqlDB) update(s *session, t *table, rows [][]any) error {
	names := quoted(t)
	var first, on, set []string
	for i, n := range names {
		first = append(first, "? AS "+n)
		if i < t.keys {
			on = append(on, "t."+n+" = v."+n)
		} else {
			set = append(set, "t."+n+" = v."+n)
		}
	}
	var args, keys []any
	for _, row := range rows {
		row = d.args(t, row)
		args, keys = append(args, row...), append(keys, row[0])
	}
	source := "SELECT " + strings.Join(first, ", ") + strings.Repeat(" UNION ALL SELECT "+placeholders(len(names)), len(rows)-1)
	_, err := s.raw("UPDATE "+t.name+" t JOIN ("+source+") v ON "+strings.Join(on, " AND ")+" SET "+strings.Join(set, ", ")+
		" WHERE t."+names[0]+" IN ("+placeholders(len(keys))+")", append(args, keys...)...)
	return err
}

// list implements dialect. It repeats the last value until their number is a power of two: sessions
// and the reader remember a statement for each number.
func (d *mysqlDB) list(column string, n int, values []any) (string, []any) {
	values = slices.Clip(values)
	for count := len(values); count&(count-1) != 0; count++ {
		values = append(values, values[len(values)-1])
	}
	var b strings.Builder
	for i := range values {
		fmt.Fprintf(&b, ",$%d", n+i)
	}
	return column + " IN (" + b.String()[1:] + ")", values
}

// fault implements dialect. It classifies an error by its number (MySQL and MariaDB server
// error references).
func (d *mysqlDB) fault(err error) fault {
	var me *mysql.MySQLError
	if !errors.As(err, &me) {
		if errors.Is(err, mysql.ErrInvalidConn) || connectionLost(err) {
			return faultLost
		}
		return faultOther
	}
	if numbersEnd(me) {
		return faultNumbers
	}
	switch me.Number {
	case 1062: // duplicate key
		return faultDuplicate
	case 1118, 1153, 1265, 1300, 1364, 1366, 3988: // values that do not fit, or are too large
		return faultRow
	case 1205: // waited for a lock
		return faultLocked
	case 1040, 1047, 1053, 1158, 1159, 1160, 1161, 1203, 1213, 1226, // busy, going down, deadlock
		1290, 1317, 1792, 1836, 1927, 3101: // read-only, killed
		return faultRetry
	case 1021, 1026, 1030, 1037, 1038, 1041, 1044, 1054, 1114, 1142, 1143, 1146, 1227, 1370: // no space, no memory; no right, no such table
		return faultDenied
	}
	switch string(me.SQLState[:2]) {
	case "22", "23", "44", "45": // a value that does not fit, or breaks a rule, also that of a trigger
		return faultRow
	}
	return faultOther
}

func (d *mysqlDB) flush(*session) error { return nil }

func (d *mysqlDB) patience() *patience { return &d.waits }

// mysqlSession is the name of a session in a row of the list of processes. The host has the port
// of the client.
const mysqlSession = "CONCAT(id, ' ', host)"

// endIdle implements dialect.
func (d *mysqlDB) endIdle(s *session, name string) error {
	ids, err := s.ints("SELECT id FROM information_schema.processlist WHERE "+mysqlSession+" = $1 AND command = 'Sleep'", name)
	for _, id := range ids {
		_, err = s.raw("KILL " + strconv.FormatInt(id, 10))
	}
	return err
}

// durable implements dialect. A commit that is not durable returns an error.
func (d *mysqlDB) durable() bool { return true }

// columns implements dialect.
func (d *mysqlDB) columns(ctx context.Context, q querier, table string) (map[string]columnInfo, error) {
	rows, err := q.QueryContext(ctx, `SELECT column_name, data_type, COALESCE(character_maximum_length, 0),
		COALESCE(character_set_name, ''), is_nullable = 'YES'
		FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?`, table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var cols map[string]columnInfo
	for rows.Next() {
		var name string
		var c columnInfo
		if err := scan(rows, &name, &c.kind, &c.width, &c.charset, &c.nullable); err != nil {
			return nil, err
		}
		if cols == nil {
			cols = map[string]columnInfo{}
		}
		cols[strings.ToLower(name)] = c
	}
	return cols, rows.Err()
}

// time implements dialect. It reads the local time that Kamailio writes.
func (d *mysqlDB) time(v any) (int64, error) {
	if n, ok := v.(int64); ok {
		return n, nil
	}
	s := asText(v)
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	if len(s) > len(time.DateTime) {
		s = s[:len(time.DateTime)]
	}
	if strings.HasPrefix(s, "0000") {
		return 0, nil
	}
	t, err := time.Parse(time.DateTime, s)
	if err != nil {
		return 0, err
	}
	return unixOfLocal(t), nil
}

// timeRanges implements dialect.
func (d *mysqlDB) timeRanges(from, to int64) [][2]any {
	return [][2]any{{d.timeValue(from), d.timeValue(to)}}
}

// timeValue returns a time as Kamailio writes it.
func (d *mysqlDB) timeValue(unix int64) any {
	if d.numbers {
		return unix
	}
	return localTime(unix)
}

func (d *mysqlDB) reuses() bool { return false }

func (d *mysqlDB) renumber(*session) error { return nil }

// skipNumbers implements dialect. The table keeps the number of a row that was rolled back.
// With IGNORE the row needs no other values.
func (d *mysqlDB) skipNumbers(s *session, t *table, last int64) error {
	return s.exec("INSERT IGNORE INTO "+t.name+" (`"+t.serial+"`) VALUES ($1)", last)
}

// headersFit implements dialect. Header lines are written and read as bytes. Which bytes a
// text column accepts depends on its character set.
func (d *mysqlDB) headersFit(c columnInfo, lines string) bool {
	switch c.charset {
	case "utf8mb4":
		return utf8.ValidString(lines)
	case "utf8", "utf8mb3":
		return utf8.ValidString(lines) && !strings.ContainsFunc(lines, func(r rune) bool { return r > 0xffff })
	case "latin1", "binary", "":
		return true
	}
	return !strings.ContainsFunc(lines, func(r rune) bool { return r >= 0x80 })
}

func (d *mysqlDB) decodeHeaders(stored []byte) []byte { return stored }

// ready implements dialect.
func (d *mysqlDB) ready(_ context.Context, l *layout, _ *sql.DB) error {
	d.numbers = l.bindings.unixTimes()
	return nil
}
