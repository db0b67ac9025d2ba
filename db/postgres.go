package db

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// A postgresDB is PostgreSQL through lib/pq. A bulk write is one statement over arrays.
// Writes do not go through *sql.DB, which repeats a statement when the connection is
// lost, even if it was committed. Statements are prepared, because PostgreSQL needs ten
// times as long to plan a read as to run it.
type postgresDB struct {
	cfg     pq.Config
	numbers bool        // the times of location are numbers
	local   bool        // no host is named
	warned  atomic.Bool // the server has sent a warning, see durable
	waits   patience
}

// newPostgres returns the engine for a server.
func newPostgres(s server, node string) (dialect, error) {
	cfg, err := pq.NewConfig(postgresDSN(s, node))
	if err != nil {
		return nil, s.bad(err)
	}
	return &postgresDB{cfg: cfg, local: len(s.hosts) == 0 && !s.params.Has("host") && os.Getenv("PGHOST") == ""}, nil
}

func (d *postgresDB) traits() traits             { return traits{prepare: true, keyed: true} }
func (d *postgresDB) lockFiles(bool, bool) error { return nil }
func (d *postgresDB) close() error               { return nil }

// postgresDSN returns the URL in the form of lib/pq, with defaults. With
// binary_parameters a statement is one round trip, and needs no name, which a connection
// pooler could confuse with that of another client.
func postgresDSN(s server, node string) string {
	opts := map[string]string{
		"user": s.user, "password": s.password, "dbname": s.database, "application_name": "silod",
		"connect_timeout": "3",
	}
	if node != "" {
		opts["application_name"] = "silod-" + node
	}
	if os.Getenv("PGSSLMODE") == "" {
		opts["sslmode"] = "prefer"
	}
	var hosts, ports []string
	for _, h := range s.hosts {
		host, port := hostPort(h, "5432")
		hosts, ports = append(hosts, host), append(ports, port)
	}
	opts["host"], opts["port"] = strings.Join(hosts, ","), strings.Join(ports, ",")
	if len(hosts) > 1 {
		opts["target_session_attrs"] = "read-write"
	}
	for k := range s.params {
		opts[k] = s.params.Get(k)
	}
	opts["binary_parameters"] = "yes"
	var dsn []string
	for k, v := range opts {
		if v != "" {
			dsn = append(dsn, k+"='"+strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v)+"'")
		}
	}
	slices.Sort(dsn)
	return strings.Join(dsn, " ")
}

// connect implements dialect.
func (d *postgresDB) connect(ctx context.Context, r role) (*sql.DB, error) {
	cfg := d.cfg.Clone()
	if d.local {
		if dir := postgresSocketDir(cfg.Port); dir != "" {
			cfg.Host = dir
		}
	}
	if r == forSource {
		if cfg.Runtime == nil {
			cfg.Runtime = map[string]string{}
		}
		cfg.Runtime["default_transaction_read_only"] = "on"
		cfg.TargetSessionAttrs = pq.TargetSessionAttrsAny
	}
	c, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return nil, d.explain(err)
	}
	dial := dialer{ioTimeout: ioTimeout[r]}
	if r == forWriting {
		dial.patience = &d.waits
	}
	c.Dialer(dial)
	pool := sql.OpenDB(pq.ConnectorWithNoticeHandler(c, func(n *pq.Error) {
		if n.Code == pqerror.Warning && r == forWriting {
			d.warned.Store(true)
		}
	}))
	limitPool(pool, r)
	if err := pool.PingContext(ctx); err != nil {
		pool.Close()
		return nil, d.explain(err)
	}
	return pool, nil
}

// explain implements dialect.
func (d *postgresDB) explain(err error) error {
	where := fmt.Sprintf("PostgreSQL at %s, database %s", d.cfg.Host, d.cfg.Database)
	switch pe := pq.As(err); {
	case pe == nil:
		return fmt.Errorf("%s does not answer: %s; start it, or set another db.url", where, oneLine(err))
	case pe.Code == pqerror.InvalidCatalogName:
		return fmt.Errorf("%s does not exist: create it with createdb, or set another db.url", where)
	case pe.Code.Class() == pqerror.ClassInvalidAuthorizationSpecification:
		return fmt.Errorf("%s refuses the user: %w; set user and password in db.url", where, err)
	case pe.Code == pqerror.InsufficientPrivilege:
		return fmt.Errorf("%s: %w; run as its owner: %s", where, err, d.grants())
	}
	return fmt.Errorf("%s: %w", where, err)
}

// grants returns the statements that grant the rights that silod needs.
func (d *postgresDB) grants() string {
	return fmt.Sprintf("GRANT CREATE ON SCHEMA public TO %[1]s; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO %[1]s; "+
		"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO %[1]s", d.cfg.User)
}

func (d *postgresDB) schema() string         { return "postgres" }
func (d *postgresDB) bind(text string) query { return query{text: text} }

// fragments implements dialect. silod has three advisory locks: 5060 while it changes the
// schema, (5060, 2) while it creates indexes, and (5060, 1) while it works on the database.
func (d *postgresDB) fragments() fragments {
	return fragments{
		begin: "BEGIN", lockTimeout: "SET lock_timeout = '1s'",
		number: "%s",
		raw:    "%s", sender: "%s", exact: "%.0s", pair: "%.0s%.0s", both: "%s || '@' || %s", forUpdate: "FOR UPDATE OF s",
		useIndex:  "SET LOCAL enable_seqscan = off; SET LOCAL jit = off",
		roomLog:   "FROM silod_room_log WHERE (room, seq) > ($1, $2) AND (room, seq) < ($1, $3) ORDER BY room %[1]s, seq %[1]s",
		findIndex: "SELECT 1 FROM pg_index WHERE indrelid = to_regclass($1) AND indexrelid = to_regclass($2) AND indisvalid",
		backup:    "pg_dump",
		lock:      "SELECT CASE WHEN pg_try_advisory_lock(5060, 1) THEN 1 ELSE 0 END",
		lockHeld: `SELECT COUNT(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND classid = 5060 AND objid = 1 AND objsubid = 2
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
		snapshot: []string{"SET statement_timeout = 0", "SET idle_in_transaction_session_timeout = 0", "BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ"},
		session:  "SELECT " + postgresSession + " FROM pg_stat_activity WHERE pid = pg_backend_pid()",
		busy:     "SELECT 1 FROM pg_stat_activity WHERE " + postgresSession + " = $1 AND COALESCE(state, '') NOT LIKE 'idle%'",
		unanswered: "if the column wait_event of pg_stat_activity is SyncRep, start the synchronous standby " +
			"or change synchronous_standby_names",
		schemaBegin: []string{
			"BEGIN", "SET LOCAL statement_timeout = 0",
			"SELECT pg_advisory_xact_lock(5060)",
			"CREATE TABLE IF NOT EXISTS silod_schema (version INTEGER PRIMARY KEY NOT NULL, at BIGINT NOT NULL)",
		},
		schemaEnd: []string{"COMMIT"}, schemaUndo: []string{"ROLLBACK"},
		lockIndexes:   "SELECT CASE WHEN pg_try_advisory_lock(5060, 2) THEN 1 ELSE 0 END",
		unlockIndexes: "SELECT pg_advisory_unlock(5060, 2)",
	}
}

// fault implements dialect. It classifies an error by its SQLSTATE (PostgreSQL manual,
// appendix A).
func (d *postgresDB) fault(err error) fault {
	pe := pq.As(err)
	if pe == nil {
		if connectionLost(err) {
			return faultLost
		}
		return faultOther
	}
	switch pe.Code {
	case "2200H", "22003": // the end of a sequence, or of the column: no other number that silod writes is too large
		return faultNumbers
	case pqerror.UniqueViolation:
		return faultDuplicate
	case pqerror.FeatureNotSupported: // "cached plan must not change result type"
		return faultStale
	case pqerror.LockNotAvailable:
		return faultLocked
	case pqerror.ReadOnlySQLTransaction, pqerror.TooManyConnections, pqerror.ObjectInUse:
		return faultRetry
	}
	switch pe.Code.Class() {
	case "22", "23", "44", "54", "P0": // a value that does not fit, or breaks a rule, also that of a trigger
		return faultRow
	case "42", "53", "58": // no right, no such table; no space, no memory; errors of the operating system
		return faultDenied
	case "40", "57": // serialization, deadlock; shutdown
		return faultRetry
	case "08":
		return faultLost
	}
	return faultOther
}

func (d *postgresDB) reuses() bool { return false }

func (d *postgresDB) flush(*session) error { return nil }

func (d *postgresDB) patience() *patience { return &d.waits }

// postgresSession is the name of a session in a row of pg_stat_activity.
const postgresSession = "(pid || ' ' || extract(epoch FROM backend_start))"

// endIdle implements dialect.
func (d *postgresDB) endIdle(s *session, name string) error {
	_, err := s.ints("SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE "+postgresSession+" = $1 AND state LIKE 'idle%'", name)
	return err
}

// durable implements dialect. When the server's wait for a synchronous standby is
// interrupted, it reports success with a warning.
func (d *postgresDB) durable() bool { return !d.warned.Swap(false) }

// columns implements dialect. It reads the catalogue pg_attribute, which also lists tables
// that the user may not read; information_schema does not.
func (d *postgresDB) columns(ctx context.Context, q querier, table string) (map[string]columnInfo, error) {
	rows, err := q.QueryContext(ctx, `SELECT a.attname, format_type(a.atttypid, NULL), a.atttypmod, NOT a.attnotnull FROM pg_attribute a
		WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped`, table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var cols map[string]columnInfo
	for rows.Next() {
		var name, typ string
		var mod int
		var nullable bool
		if err := scan(rows, &name, &typ, &mod, &nullable); err != nil {
			return nil, err
		}
		if cols == nil {
			cols = map[string]columnInfo{}
		}
		c := columnInfo{kind: typ, nullable: nullable}
		if strings.HasPrefix(typ, "character") && mod > 4 { // the width plus 4
			c.width = mod - 4
		}
		if strings.HasPrefix(typ, "big") || strings.HasPrefix(typ, "int") || strings.HasPrefix(typ, "small") {
			c.kind = "int"
		}
		cols[name] = c
	}
	return cols, rows.Err()
}

// time implements dialect. It reads the local time that Kamailio writes.
func (d *postgresDB) time(v any) (int64, error) {
	switch v := v.(type) {
	case int64:
		return v, nil
	case time.Time: // lib/pq reads a time without zone as UTC
		return unixOfLocal(v), nil
	}
	text := asText(v)
	if text == "infinity" {
		return noExpiry, nil
	}
	t, err := time.Parse(time.DateTime, text)
	if err != nil {
		return 0, err
	}
	return unixOfLocal(t), nil
}

// timeRanges implements dialect.
func (d *postgresDB) timeRanges(from, to int64) [][2]any {
	return [][2]any{{d.timeValue(from), d.timeValue(to)}}
}

// timeValue returns a time as Kamailio writes it.
func (d *postgresDB) timeValue(unix int64) any {
	if d.numbers {
		return unix
	}
	return localTime(unix)
}

// headersFit implements dialect. Any bytes fit, see escapeHeaders.
func (d *postgresDB) headersFit(columnInfo, string) bool { return true }

// decodeHeaders implements dialect. It reads both forms in which bytea is written as text:
// hex and, by old libraries, escape.
func (d *postgresDB) decodeHeaders(stored []byte) []byte {
	if h, ok := strings.CutPrefix(string(stored), `\x`); ok {
		if b, err := hex.DecodeString(h); err == nil {
			return b
		}
	}
	return unescapeOctal(stored)
}

// unescapeOctal decodes the escape form of bytea: "\\" and "\ooo".
func unescapeOctal(in []byte) []byte {
	out := make([]byte, 0, len(in))
	for i := 0; i < len(in); i++ {
		if in[i] != '\\' {
			out = append(out, in[i])
			continue
		}
		if i+1 < len(in) && in[i+1] == '\\' {
			out = append(out, '\\')
			i++
			continue
		}
		if i+3 < len(in) {
			if n, err := strconv.ParseUint(string(in[i+1:i+4]), 8, 8); err == nil {
				out = append(out, byte(n))
				i += 3
				continue
			}
		}
		out = append(out, '\\')
	}
	return out
}

// ready implements dialect. It checks the right to use the sequences, which is separate from
// the right to write the tables.
func (d *postgresDB) ready(ctx context.Context, l *layout, pool *sql.DB) error {
	d.numbers = l.bindings.unixTimes()
	for _, t := range []string{l.messages.table, l.rooms.rooms.name, l.rooms.members.name, l.bindings.table.name, "silod_room_log"} {
		id := "id"
		switch t {
		case l.messages.table:
			id = l.messages.id
		case "silod_room_log":
			id = "seq"
		}
		bad, err := scanInts(pool.QueryContext(ctx, `SELECT 1 FROM pg_get_serial_sequence($1, $2) s
			WHERE s IS NOT NULL AND NOT has_sequence_privilege(s, 'USAGE')`, t, id))
		if err != nil {
			return fmt.Errorf("inspect the sequence of table %s: %w", t, err)
		}
		if len(bad) > 0 {
			return fmt.Errorf("no right to number the rows of table %s: run as its owner: %s", t, d.grants())
		}
	}
	return nil
}
