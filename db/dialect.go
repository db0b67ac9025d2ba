package db

import (
	"context"
	"database/sql"
	"strings"
	"time"
)

// A dialect is the part of the package that differs between the SQL engines. Everything
// else is written once, in SQL that all engines understand.
type dialect interface {
	traits() traits
	fragments() fragments

	// lockFiles creates the directory of an engine that has files, and locks the
	// database until close. With readOnly it only checks that the database exists; with
	// existing it does not create the database either.
	lockFiles(readOnly, existing bool) error
	// close unlocks the database and releases what connect has opened besides the pools.
	close() error
	// connect opens a pool of connections and tries one.
	connect(ctx context.Context, r role) (*sql.DB, error)
	// explain adds the solution to an error of connecting or of the schema.
	explain(err error) error
	// schema returns the name of the folder of the embedded schema.
	schema() string
	// bind replaces $1, $2 by the placeholders of the engine.
	bind(text string) query

	// insert adds rows. Where the table numbers its rows, it returns their numbers in the
	// order of the rows.
	insert(s *session, t *table, rows [][]any) ([]int64, error)
	// upsert adds rows and overwrites those with the same key. No key may occur twice.
	upsert(s *session, t *table, rows [][]any) error
	// update overwrites the rows with these keys.
	update(s *session, t *table, rows [][]any) error
	// list returns the condition that the column has one of the values, with its
	// arguments. Its first parameter has the number n.
	list(column string, n int, values []any) (cond string, args []any)

	// fault returns the class of an error.
	fault(err error) fault
	// flush is called before a commit.
	flush(s *session) error
	// patience returns that of the connections for writing, nil for an engine in this process,
	// which answers every commit.
	patience() *patience
	// endIdle ends another session with a name if it executes nothing: its client is gone and
	// the server may not know that for hours.
	endIdle(s *session, name string) error
	// durable reports whether the commit that has just succeeded is as durable as promised.
	durable() bool
	// columns returns the columns of a table, nil where the table does not exist.
	columns(ctx context.Context, q querier, table string) (map[string]columnInfo, error)
	// time returns a time of the table location as unix seconds, 0 for none.
	time(v any) (int64, error)
	// timeRanges returns the values that such a column may have for the times between two times,
	// as arguments.
	timeRanges(from, to int64) [][2]any
	// headersFit reports whether a column takes header lines in the form in which
	// Kamailio writes them on this engine. decodeHeaders reads that form.
	headersFit(c columnInfo, lines string) bool
	decodeHeaders(stored []byte) []byte
	// ready is called when the tables have been inspected.
	ready(ctx context.Context, l *layout, pool *sql.DB) error
	// skipNumbers has the table number new rows above last. The transaction around it is
	// rolled back.
	skipNumbers(s *session, t *table, last int64) error
	// reuses reports whether the table silo gives the number of the last row again when that row
	// has been deleted.
	reuses() bool
	// createIndex creates an index on a table that other programs write meanwhile. It waits for
	// their locks, no longer than the patience where that is not 0. When ctx ends, it ends the
	// statement in the server.
	createIndex(ctx context.Context, conn *sql.Conn, p *missingPart, patience time.Duration) error
	// indexProgress returns the percentage of the index of a table that has been created, -1
	// where it is not known, and for what that waits.
	indexProgress(ctx context.Context, q querier, table string) (percent int, waits string)
	// numbering returns the state of the numbers of a table, nil where it does not number its
	// rows.
	numbering(ctx context.Context, q querier, table, column string) (*numbering, error)
	// estimateRows returns the number of rows of a large table, roughly, without counting them.
	estimateRows(ctx context.Context, q querier, table string) (int64, error)
	// renumber is called after rows have been written together with their numbers.
	renumber(s *session) error
}

// A role is the purpose of a pool of connections.
type role int

const (
	forSchema  role = iota // may take its time
	forWriting             // the writer's one connection
	forReading
	forLocking // the connection of an instanceLock
	forCheck   // changes nothing, not even the format of the file
	forSource  // changes nothing, and needs no right to
)

// traits are the properties of an engine.
type traits struct {
	prepare bool // statements are prepared, once for each connection
	keyed   bool // the answer to a commit can be lost, so batches have keys, see batchKey
}

// fragments are the pieces of SQL that differ between the engines.
type fragments struct {
	begin string // begins a transaction
	// lockTimeout limits the time for which a statement of the session waits for a lock; ""
	// where that is a parameter of the connection.
	lockTimeout string
	number      string // reads a column of numbers as a number, where it may hold text; %s is the column
	raw         string // reads a text column as bytes; %s is the column
	sender      string // compares a text column as bytes, whatever its type; %s is the column
	exact       string // narrows a comparison to equal case; %[1]s is the column, $# the value
	pair        string // continues a SELECT list with the bytes of two columns, for DISTINCT; %s are the columns
	both        string // two columns as one value
	forUpdate   string // locks the rows of silo that a SELECT reads
	useIndex    string // makes the transaction find rows by an index; "" where it always does
	findIndex   string // finds the index $2 of table $1
	session     string // returns the name of the session, which no other session of any server has
	busy        string // returns a row while session $1 executes a statement
	unanswered  string // says how to find out why a commit gets no answer
	lock        string // returns 1 to the one session that holds silod's lock; "" where a file is locked
	backup      string // names the tool that backs the database up, for errors; "" where Backup does
	// roomLog continues a SELECT of the log of room $1 between the Seqs $2 and $3, so that it reads
	// the index of rooms from one end; %[1]s is the direction. Engines that choose a plan by the
	// average room read the log of all rooms instead.
	roomLog string

	lockHeld string   // reports whether a session holds that lock; "" where a file is locked
	snapshot []string // have the session read only, all tables as they are now

	// durabilityWarning returns why a commit to table $1 promises less than it should; ""
	// where every commit is durable.
	durabilityWarning string

	schemaBegin, schemaEnd, schemaUndo []string // let one process at a time change the schema

	// lockIndexes returns 1 to the one session that may create indexes, at once; "" where a file
	// is locked.
	lockIndexes, unlockIndexes string
}

// A fault is a class of errors.
type fault int

const (
	faultOther     fault = iota // retrying will not help now: refuse
	faultDenied                 // the same, whatever the values of the statement: no right, no space
	faultLocked                 // another program has locked a row or table, try again
	faultRow                    // a value that the table cannot take
	faultRetry                  // nothing was committed, try again
	faultLost                   // the connection is lost; the last statement may have been executed
	faultDuplicate              // a key that exists already
	faultStale                  // a table was changed under a prepared statement
	faultNumbers                // the numbers of a table are used up
)

// ofRow reports whether a fault is that of a row, which is refused in every attempt.
func (f fault) ofRow() bool { return f == faultRow || f == faultNumbers || f == faultDuplicate }

// A querier is a pool, a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
}

// A kind is the type of a column that silod writes.
type kind int

const (
	kindText kind = iota
	kindBytes
	kindInt
	kindReal
	kindHeaders // header lines, as Kamailio writes them on this engine
	kindTime    // as Kamailio writes the times of location on this engine
)

// A field is a column that silod writes.
type field struct {
	name string
	kind kind
	max  bool // an upsert keeps the larger value
}

// A table describes the columns of a bulk write.
type table struct {
	name   string
	fields []field
	keys   int    // number of fields, the first ones, that form the key
	serial string // the column that numbers the rows, "" where none
}

// names returns the names of the fields in order.
func (t *table) names() []string {
	out := make([]string, len(t.fields))
	for i, f := range t.fields {
		out[i] = f.name
	}
	return out
}

// columnInfo is the description of a column by the engine.
type columnInfo struct {
	kind    string // lower case, without a length: "varchar"
	width   int    // maximum of characters or bytes; 0 for no limit
	charset string // MySQL only
	// nullable is set if the column may hold NULL. Those of Kamailio's scripts that silod compares
	// may not, but tables of other origin have no such constraints.
	nullable bool
}

// A query is a statement with the order in which it takes numbered parameters.
type query struct {
	text  string
	order []int // nil: as numbered
}

// args returns the arguments in the order of the statement.
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

// positional is dialect.bind for engines that have only the placeholder "?". A statement
// may use a numbered parameter more than once, and in any order.
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

// onConflict returns the end of an upsert, for SQLite and PostgreSQL.
func onConflict(t *table, greatest string) string {
	names := t.names()
	var set []string
	for _, f := range t.fields[t.keys:] {
		v := "excluded." + f.name
		if f.max {
			v = greatest + "(" + t.name + "." + f.name + ", " + v + ")"
		}
		set = append(set, f.name+" = "+v)
	}
	do := "NOTHING"
	if len(set) > 0 {
		do = "UPDATE SET " + strings.Join(set, ", ")
	}
	return " ON CONFLICT (" + strings.Join(names[:t.keys], ",") + ") DO " + do
}

// placeholders returns n placeholders "?", for one row of values.
func placeholders(n int) string { return strings.TrimSuffix(strings.Repeat("?,", n), ",") }
