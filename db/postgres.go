package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// postgresDB is PostgreSQL by lib/pq. A bulk write is one statement over arrays.
// Writes never go through *sql.DB, which repeats a statement on its own when the
// connection is lost, committed or not.
type postgresDB struct {
	cfg    pq.Config
	types  map[string]map[string]columnInfo
	warned atomic.Bool // the server said something while it committed
}

// A server that is frozen or cut off keeps a connection open without a word, and
// a context does not end that wait, so every single read and write has a limit.
var silence = map[role]time.Duration{forSchema: time.Hour, forWriting: 5 * time.Second, forReading: 10 * time.Second}

const (
	connectTimeout = 3 * time.Second
	readerConns    = 8
	connLife       = 5 * time.Minute // so that an old primary is left some time after a failover
)

func (db *DB) openPostgres(u string) error {
	dsn, err := postgresDSN(u, db.opts.Node)
	if err != nil {
		return err
	}
	cfg, err := pq.NewConfig(dsn)
	if err != nil {
		return fmt.Errorf("db.url %q: %w", redact(u), err)
	}
	db.d = &postgresDB{cfg: cfg}
	db.begin, db.keyed = "BEGIN", true
	return nil
}

// postgresDSN turns a URL, with one host or several, into lib/pq's own form and
// adds what is not said.
func postgresDSN(u, node string) (string, error) {
	_, rest, _ := strings.Cut(u, "://")
	rest, query, _ := strings.Cut(rest, "?")
	authority, name, _ := strings.Cut(rest, "/")
	params, err := url.ParseQuery(query)
	bad := func(err error) error { return fmt.Errorf("db.url %q: %w", redact(u), err) }
	if err != nil {
		return "", bad(err)
	}
	opts := map[string]string{"binary_parameters": "yes", "connect_timeout": "3", "application_name": "silod"}
	if node != "" {
		opts["application_name"] = "silod-" + node
	}
	if os.Getenv("PGSSLMODE") == "" {
		opts["sslmode"] = "prefer"
	}
	hosts := authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, password, hasPassword := strings.Cut(authority[:i], ":")
		hosts = authority[i+1:]
		if opts["user"], err = url.PathUnescape(user); err != nil {
			return "", bad(err)
		}
		if hasPassword {
			if opts["password"], err = url.PathUnescape(password); err != nil {
				return "", bad(err)
			}
		}
	}
	if opts["dbname"], err = url.PathUnescape(name); err != nil {
		return "", bad(err)
	}
	var names, ports []string
	for h := range strings.SplitSeq(hosts, ",") {
		host, port, err := net.SplitHostPort(h)
		if err != nil {
			host, port = strings.Trim(h, "[]"), "5432"
		}
		names, ports = append(names, host), append(ports, port)
	}
	if hosts != "" {
		opts["host"], opts["port"] = strings.Join(names, ","), strings.Join(ports, ",")
	}
	if len(names) > 1 {
		opts["target_session_attrs"] = "read-write"
	}
	for k := range params {
		opts[k] = params.Get(k)
	}
	var dsn []string
	for k, v := range opts {
		if v != "" {
			dsn = append(dsn, k+"='"+strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v)+"'")
		}
	}
	slices.Sort(dsn)
	return strings.Join(dsn, " "), nil
}

func (d *postgresDB) connect(ctx context.Context, r role) (*sql.DB, error) {
	c, err := pq.NewConnectorConfig(d.cfg)
	if err != nil {
		return nil, d.explain(err)
	}
	c.Dialer(dialer{silence[r]})
	pool := sql.OpenDB(pq.ConnectorWithNoticeHandler(c, func(n *pq.Error) {
		if n.Code == pqerror.Warning && r == forWriting {
			d.warned.Store(true)
		}
	}))
	limit(pool, r)
	if err := pool.PingContext(ctx); err != nil {
		pool.Close()
		return nil, d.explain(err)
	}
	return pool, nil
}

// limit sets the size of a pool of connections to a server.
func limit(pool *sql.DB, r role) {
	conns := 1
	if r == forReading {
		conns = readerConns
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	pool.SetConnMaxLifetime(connLife)
}

// explain says what to do about a server that cannot be used.
func (d *postgresDB) explain(err error) error {
	where := fmt.Sprintf("PostgreSQL at %s, database %s", d.cfg.Host, d.cfg.Database)
	switch pe := pq.As(err); {
	case pe == nil:
		return fmt.Errorf("%s does not answer: %w; start it, or set another db.url", where, err)
	case pe.Code == pqerror.InvalidCatalogName:
		return fmt.Errorf("%s does not exist: createdb makes it, or set another db.url", where)
	case pe.Code.Class() == pqerror.ClassInvalidAuthorizationSpecification:
		return fmt.Errorf("%s refuses the user: %w; set user and password in db.url", where, err)
	case pe.Code == pqerror.InsufficientPrivilege:
		return fmt.Errorf("%s: %w; as its owner: GRANT CREATE ON SCHEMA public TO %s", where, err, d.cfg.User)
	}
	return fmt.Errorf("%s: %w", where, err)
}

// dialer makes connections whose every read and write has a time limit.
type dialer struct{ silence time.Duration }

func (d dialer) Dial(network, addr string) (net.Conn, error) {
	return d.DialTimeout(network, addr, connectTimeout)
}

func (d dialer) DialTimeout(network, addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, addr)
}

func (d dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	var nd net.Dialer
	c, err := nd.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &limitedConn{Conn: c, silence: d.silence}, nil
}

type limitedConn struct {
	net.Conn
	silence time.Duration
}

func (c *limitedConn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c *limitedConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (d *postgresDB) schema() string         { return "postgres" }
func (d *postgresDB) bind(text string) query { return query{text: text} }

func (d *postgresDB) words() words {
	return words{
		raw: "%s", exact: "%.0s", distinct: "DISTINCT %s, %s", both: "%s || '@' || %s", forUpdate: "FOR UPDATE OF s",
		schemaBegin: []string{
			"BEGIN", "SET LOCAL statement_timeout = 0",
			"SELECT pg_advisory_xact_lock(5060)",
			"CREATE TABLE IF NOT EXISTS silod_schema (version INTEGER PRIMARY KEY NOT NULL, at BIGINT NOT NULL)",
		},
		schemaEnd: []string{"COMMIT"}, schemaUndo: []string{"ROLLBACK"},
	}
}

// arrays turns rows into one array for each column, and the select list that
// takes them apart again.
func (d *postgresDB) arrays(t *table, rows [][]any) (from string, args []any) {
	var casts []string
	for i, f := range t.fields {
		casts = append(casts, "$"+strconv.Itoa(i+1)+"::"+d.castOf(t, f)+"[]")
		args = append(args, d.array(t, f, i, rows))
	}
	names := strings.Join(t.names(), ",")
	return "unnest(" + strings.Join(casts, ",") + ") WITH ORDINALITY AS v(" + names + ",ord)", args
}

func (d *postgresDB) castOf(t *table, f field) string {
	switch f.kind {
	case kindBytes:
		return "bytea"
	case kindInt:
		return "bigint"
	case kindReal:
		return "float8"
	case kindTime:
		if d.unixTimes(t, f) {
			return "bigint"
		}
		return "timestamp"
	}
	return "text"
}

// unixTimes tells Kamailio's expires_type=1: times as numbers.
func (d *postgresDB) unixTimes(t *table, f field) bool {
	return strings.HasSuffix(d.types[t.name][f.name].kind, "int")
}

// array collects column i of the rows.
func (d *postgresDB) array(t *table, f field, i int, rows [][]any) any {
	switch f.kind {
	case kindBytes:
		a := make(pq.ByteaArray, len(rows))
		for r, row := range rows {
			a[r] = row[i].([]byte)
		}
		return a
	case kindHeaders:
		a := make(pq.StringArray, len(rows))
		for r, row := range rows {
			a[r] = `\x` + hex.EncodeToString([]byte(row[i].(string)))
		}
		return a
	case kindTime:
		if !d.unixTimes(t, f) {
			a := make(pq.StringArray, len(rows))
			for r, row := range rows {
				a[r] = localTime(row[i].(int64))
			}
			return a
		}
	}
	for _, row := range rows {
		if row[i] == nil {
			return nullArray(i, rows)
		}
	}
	switch rows[0][i].(type) {
	case int64:
		return pq.Int64Array(column[int64](i, rows))
	case float64:
		return pq.Float64Array(column[float64](i, rows))
	}
	return pq.StringArray(column[string](i, rows))
}

func column[T any](i int, rows [][]any) []T {
	a := make([]T, len(rows))
	for r, row := range rows {
		a[r] = row[i].(T)
	}
	return a
}

// nullArray is an array of texts, whatever the type, in which some are missing.
func nullArray(i int, rows [][]any) any {
	a := make([]sql.NullString, len(rows))
	for r, row := range rows {
		if row[i] != nil {
			a[r] = sql.NullString{String: fmt.Sprint(row[i]), Valid: true}
		}
	}
	return pq.Array(a)
}

// localTime is a time as Kamailio writes it to PostgreSQL and MySQL.
func localTime(unix int64) string { return time.Unix(unix, 0).Format(time.DateTime) }

// insert numbers the rows in the order given: the serial column's default is
// evaluated behind the sort.
func (d *postgresDB) insert(s *session, t *table, rows [][]any) ([]int64, error) {
	from, args := d.arrays(t, rows)
	names := strings.Join(t.names(), ",")
	text := "INSERT INTO " + t.name + " (" + names + ") SELECT " + names + " FROM " + from + " ORDER BY ord"
	if t.serial == "" {
		_, err := s.raw(text, args...)
		return nil, err
	}
	ids, err := scanInts(s.conn.QueryContext(context.Background(), text+" RETURNING "+t.serial, args...))
	if err != nil {
		return nil, err
	}
	if len(ids) != len(rows) {
		return nil, fmt.Errorf("%d rows inserted instead of %d", len(ids), len(rows))
	}
	slices.Sort(ids)
	return ids, nil
}

func (d *postgresDB) upsert(s *session, t *table, rows [][]any) error {
	from, args := d.arrays(t, rows)
	names := strings.Join(t.names(), ",")
	_, err := s.raw("INSERT INTO "+t.name+" ("+names+") SELECT "+names+" FROM "+from+onConflict(t, "GREATEST"), args...)
	return err
}

func (d *postgresDB) update(s *session, t *table, rows [][]any) error {
	from, args := d.arrays(t, rows)
	var set, where []string
	for i, f := range t.fields {
		if i < t.keys {
			where = append(where, "t."+f.name+" = v."+f.name)
		} else {
			set = append(set, f.name+" = v."+f.name)
		}
	}
	_, err := s.raw("UPDATE "+t.name+" t SET "+strings.Join(set, ", ")+" FROM "+from+" WHERE "+strings.Join(where, " AND "), args...)
	return err
}

func (d *postgresDB) list(col string, n int, values []any) (string, []any) {
	cond := col + " = ANY($" + strconv.Itoa(n) + ")"
	if _, text := values[0].(string); text {
		return cond, []any{pq.StringArray(column[string](0, wrap(values)))}
	}
	return cond, []any{pq.Int64Array(column[int64](0, wrap(values)))}
}

func wrap(values []any) [][]any {
	rows := make([][]any, len(values))
	for i, v := range values {
		rows[i] = []any{v}
	}
	return rows
}

func (d *postgresDB) fault(err error) fault {
	pe := pq.As(err)
	if pe == nil {
		if lost(err) {
			return faultLost
		}
		return faultOther
	}
	switch {
	case pe.Code == pqerror.UniqueViolation:
		return faultTwice
	case pe.Code == pqerror.ReadOnlySQLTransaction, pe.Code == pqerror.QueryCanceled, pe.Code == pqerror.LockNotAvailable,
		pe.Code == pqerror.TooManyConnections, pe.Code == pqerror.ObjectInUse:
		return faultRetry
	}
	switch pe.Code.Class() {
	case "22", "23", "54": // a value that does not fit, or breaks a rule
		return faultRow
	case "40", "57": // serialization, deadlock; shutdown
		return faultRetry
	case "08":
		return faultLost
	}
	return faultOther
}

// lost tells an error of the connection from one of the database.
func lost(err error) bool {
	var ne net.Error
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, sql.ErrConnDone) || errors.As(err, &ne) || errors.Is(err, context.DeadlineExceeded)
}

// committed tells whether a commit that succeeded is as durable as promised. A
// server whose wait for its standby was cut short only warns.
func (d *postgresDB) committed() bool { return !d.warned.Swap(false) }

func (d *postgresDB) columns(ctx context.Context, q querier, table string) (map[string]columnInfo, error) {
	rows, err := q.QueryContext(ctx, `SELECT a.attname, format_type(a.atttypid, NULL), a.atttypmod FROM pg_attribute a
		WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped`, table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var cols map[string]columnInfo
	for rows.Next() {
		var name, typ string
		var mod int
		if err := rows.Scan(&name, &typ, &mod); err != nil {
			return nil, err
		}
		if cols == nil {
			cols = map[string]columnInfo{}
		}
		c := columnInfo{kind: typ}
		if strings.HasPrefix(typ, "character") && mod > 4 {
			c.width = mod - 4
		}
		if strings.HasPrefix(typ, "big") || strings.HasPrefix(typ, "int") || strings.HasPrefix(typ, "small") {
			c.kind = "int"
		}
		cols[name] = c
	}
	return cols, rows.Err()
}

// index makes an index that is missing. A failure must not end the transaction.
func (d *postgresDB) index(ctx context.Context, q querier, text string) error {
	name, _, _ := strings.Cut(strings.TrimPrefix(text, "CREATE INDEX IF NOT EXISTS "), " ")
	there, err := scanInts(q.QueryContext(ctx, "SELECT 1 WHERE to_regclass($1) IS NOT NULL", name))
	if err != nil || len(there) > 0 {
		return err
	}
	if _, err := q.ExecContext(ctx, "SAVEPOINT make_index"); err != nil {
		return err
	}
	if _, err := q.ExecContext(ctx, text); err != nil {
		_, _ = q.ExecContext(ctx, "ROLLBACK TO SAVEPOINT make_index")
		return err
	}
	return nil
}

// time reads Kamailio's local time.
func (d *postgresDB) time(v any) (int64, error) {
	switch v := v.(type) {
	case int64:
		return v, nil
	case time.Time: // lib/pq takes a time without zone for one of UTC
		return time.Date(v.Year(), v.Month(), v.Day(), v.Hour(), v.Minute(), v.Second(), 0, time.Local).Unix(), nil
	}
	t, err := time.ParseInLocation(time.DateTime, asText(v), time.Local)
	if err != nil {
		return 0, err
	}
	return t.Unix(), nil
}

// Kamailio writes the text column extra_hdrs through PostgreSQL's escaping of
// bytea, and undoes that when it reads. So any bytes fit.
func (d *postgresDB) headersFit(columnInfo, string) bool { return true }

func (d *postgresDB) decodeHeaders(stored []byte) []byte {
	if h, ok := strings.CutPrefix(string(stored), `\x`); ok {
		if b, err := hex.DecodeString(h); err == nil {
			return b
		}
	}
	return unescapeOctal(stored)
}

// unescapeOctal undoes the older escaping: "\\" and "\ooo".
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

// ready remembers the columns' types.
func (d *postgresDB) ready(_ context.Context, db *DB) error {
	d.types = map[string]map[string]columnInfo{"location": db.location.info}
	return nil
}
