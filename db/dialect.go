package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"
)

// dialect is what one SQL engine does in its own way. Everything else is written
// once, in SQL that all of them understand.
type dialect interface {
	// connect opens a pool of connections and tries one.
	connect(ctx context.Context, r role) (*sql.DB, error)
	// explain says what to do about an error of connecting or of the schema.
	explain(err error) error
	// schema names the folder of the embedded schema.
	schema() string
	// bind turns $1, $2 into the engine's own placeholders.
	bind(text string) query

	// insert adds rows and, where the table numbers its rows, returns their
	// numbers in the order of the rows.
	insert(s *session, t *table, rows [][]any) ([]int64, error)
	// upsert adds rows, or overwrites those with the same key. No key may occur twice.
	upsert(s *session, t *table, rows [][]any) error
	// update overwrites the rows with these keys.
	update(s *session, t *table, rows [][]any) error
	// list writes a condition that column is one of the values, numbering its
	// parameter n where it needs one.
	list(column string, n int, values []any) (cond string, args []any)

	// fault tells what an error means to the writer.
	fault(err error) fault
	// flush is called before a commit.
	flush(s *session) error
	// committed tells whether a commit without error is as durable as promised.
	committed() bool
	// columns describes a table, nil where there is none.
	columns(ctx context.Context, q querier, table string) (map[string]columnInfo, error)
	// time reads a time of the table location as unix seconds; 0 for none.
	time(v any) (int64, error)
	// headers writes and reads header lines as Kamailio does on this engine, and
	// tells whether a column takes them.
	headersFit(c columnInfo, lines string) bool
	decodeHeaders(stored []byte) []byte
	// ready is called when the tables have been looked at.
	ready(ctx context.Context, db *DB) error
	// renumber is called after rows were written with their numbers.
	renumber(s *session, db *DB) error
	// words are the pieces of SQL that differ.
	words() words
}

// role is what a pool of connections is for.
type role int

const (
	forSchema  role = iota // may take its time
	forWriting             // the writer's one connection
	forReading
	forLooking // changes nothing, not even the file's format
)

// words are pieces of SQL that engines spell differently.
type words struct {
	raw       string // reads a text column as bytes; %s is the column
	exact     string // narrows a comparison to equal case; %[1]s is the column, $# the value
	pair      string // two columns as bytes, behind themselves in a list; %s are the columns
	both      string // two columns as one value
	forUpdate string // locks what a SELECT from silo reads
	indexed   string // has the transaction find rows by an index; "" where that goes without saying
	hasIndex  string // finds the index $2 of table $1
	alone     string // gives 1 to the one session that has silod's lock; "" where a file is locked
	weakness  string // tells why a commit to table $1 promises less than it should; "" where all promise it

	schemaBegin, schemaEnd, schemaUndo []string // let one process at a time change the schema
}

// fault is a class of errors.
type fault int

const (
	faultOther fault = iota // retrying will not help now: refuse
	faultRow                // a value that the table cannot take
	faultRetry              // nothing was committed, try again
	faultLost               // the connection is gone: nothing is known of what was sent last
	faultTwice              // a key that is there already
	faultStale              // a table was changed under a prepared statement
)

// querier is a pool, a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
}

// kind is the type of a column that we write.
type kind int

const (
	kindText kind = iota
	kindBytes
	kindInt
	kindReal
	kindHeaders // header lines, as Kamailio writes them on this engine
	kindTime    // as Kamailio writes the times of location on this engine
)

// field is a column that we write.
type field struct {
	name string
	kind kind
	max  bool // an upsert keeps the larger value
}

// table describes the columns of a bulk write.
type table struct {
	name   string
	fields []field
	keys   int    // so many first fields are the key
	serial string // the column that numbers the rows, "" where none
}

func (t *table) names() []string {
	out := make([]string, len(t.fields))
	for i, f := range t.fields {
		out[i] = f.name
	}
	return out
}

// columnInfo is what the engine says of a column.
type columnInfo struct {
	kind    string // lower case, without a length: "varchar"
	width   int    // characters or bytes that fit; 0 for no limit
	charset string // MySQL only
}

// query is a statement with the order in which it takes numbered parameters.
type query struct {
	text  string
	order []int // nil: as numbered
}

// args puts the arguments in the statement's order.
func (q query) args(in []any) []any {
	if q.order == nil {
		return in
	}
	out := make([]any, len(q.order))
	for i, n := range q.order {
		out[i] = in[n-1]
	}
	return out
}

// positional binds for engines that only know "?".
func positional(text string) query {
	var b strings.Builder
	order := []int{}
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c != '$' || i+1 == len(text) || text[i+1] < '0' || text[i+1] > '9' {
			b.WriteByte(c)
			continue
		}
		n := 0
		for i+1 < len(text) && text[i+1] >= '0' && text[i+1] <= '9' {
			i++
			n = n*10 + int(text[i]-'0')
		}
		order = append(order, n)
		b.WriteByte('?')
	}
	return query{b.String(), order}
}

// session is the writer's connection with its prepared statements. Its methods
// take no context: a write that was begun is finished, and the connection's own
// deadlines bound it.
type session struct {
	conn    *sql.Conn
	prepare bool
	stmts   map[string]*sql.Stmt
	d       dialect
	fill    replacer
	watch   func(text string, args []any)
	now     int64 // unix seconds of the transaction
}

// raw runs a statement in the engine's own spelling. One without parameters, BEGIN
// or COMMIT, is not worth preparing.
func (s *session) raw(text string, args ...any) (sql.Result, error) {
	if s.watch != nil && len(args) > 0 {
		s.watch(text, args)
	}
	if !s.prepare || len(args) == 0 {
		return s.conn.ExecContext(context.Background(), text, args...)
	}
	st, err := s.stmt(text) //nolint:sqlclosecheck // the session keeps it
	if err != nil {
		return nil, err
	}
	return st.ExecContext(context.Background(), args...)
}

// rows is raw for a statement that gives rows.
func (s *session) rows(text string, args ...any) (*sql.Rows, error) {
	if s.watch != nil {
		s.watch(text, args)
	}
	if !s.prepare {
		return s.conn.QueryContext(context.Background(), text, args...)
	}
	st, err := s.stmt(text) //nolint:sqlclosecheck // the session keeps it
	if err != nil {
		return nil, err
	}
	return st.QueryContext(context.Background(), args...)
}

// stmt prepares a statement once. Statement texts are few, so the map is small.
func (s *session) stmt(text string) (*sql.Stmt, error) {
	if st, ok := s.stmts[text]; ok {
		return st, nil
	}
	st, err := s.conn.PrepareContext(context.Background(), text)
	if err != nil {
		return nil, err
	}
	s.stmts[text] = st
	return st, nil
}

// exec runs a statement with {names} and numbered parameters and tells how many
// rows it changed.
func (s *session) exec(text string, args ...any) (int64, error) {
	q := s.d.bind(s.fill.Replace(text))
	res, err := s.raw(q.text, q.args(args)...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// query reads inside the transaction.
func (s *session) query(text string, args ...any) (*sql.Rows, error) {
	q := s.d.bind(s.fill.Replace(text))
	return s.rows(q.text, q.args(args)...)
}

// deleteAll deletes the rows whose column is one of the values.
func (s *session) deleteAll(table, column string, values []any) (int64, error) {
	if len(values) == 0 {
		return 0, nil
	}
	cond, args := s.d.list(column, 1, values)
	return s.exec("DELETE FROM "+table+" WHERE "+cond, args...)
}

// close gives the connection back to the pool.
func (s *session) close() {
	for _, st := range s.stmts {
		st.Close()
	}
	s.conn.Close()
}

// drop ends the connection. The statements must be closed before.
func (s *session) drop() {
	for _, st := range s.stmts {
		st.Close()
	}
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn })
	s.conn.Close()
}
