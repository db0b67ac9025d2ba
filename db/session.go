package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"slices"

	"silod/silo"
)

// A session is the writer's connection with its prepared statements. Its methods take no
// context: a write that has begun is finished, and the time limits of the connection
// bound it.
type session struct {
	layout *layout
	conn   *sql.Conn
	stmts  map[string]*sql.Stmt
	now    int64 // unix seconds, of the transaction
	denied bool  // it has refused a statement, and committed nothing since then

	name     string    // see fragments.session
	patience *patience // of the writer's connection, nil for none

	redoLog  *redoLog // nil for a session that is not the writer's
	deleted  []any    // IDs of the messages that the transaction has deleted
	marks    [][]any  // rows of deviceTable that it has written
	requeued []any    // IDs of the messages that it has requeued
	moved    []move
	charged  []silo.Charge // of the messages that it has added
	inserted addedRows
}

// newSession returns a session on a connection, which it owns from then on.
func newSession(l *layout, conn *sql.Conn) *session {
	return &session{layout: l, conn: conn, stmts: map[string]*sql.Stmt{}}
}

// begin forgets the changes of the transaction before.
func (s *session) begin(now int64) {
	s.now, s.deleted, s.marks, s.requeued, s.moved, s.charged, s.inserted = now, nil, nil, nil, nil, nil, addedRows{}
}

// commit commits the transaction. It waits for the answer as the patience says.
func (s *session) commit() error {
	s.patience.begin()
	defer s.patience.end()
	_, err := s.raw("COMMIT")
	return err
}

// raw runs a statement that is in the form of the engine already, without {names}.
// Statements without parameters (BEGIN, COMMIT) are not prepared.
func (s *session) raw(text string, args ...any) (sql.Result, error) {
	if s.layout.watch != nil && len(args) > 0 {
		s.layout.watch(text, args)
	}
	if !s.layout.traits.prepare || len(args) == 0 {
		return s.conn.ExecContext(context.Background(), text, args...)
	}
	st, err := s.stmt(text) //nolint:sqlclosecheck // the session keeps it
	if err != nil {
		return nil, err
	}
	return st.ExecContext(context.Background(), args...)
}

// rows is raw for a statement that returns rows.
func (s *session) rows(text string, args ...any) (*sql.Rows, error) {
	if s.layout.watch != nil {
		s.layout.watch(text, args)
	}
	if !s.layout.traits.prepare {
		return s.conn.QueryContext(context.Background(), text, args...)
	}
	st, err := s.stmt(text) //nolint:sqlclosecheck // the session keeps it
	if err != nil {
		return nil, err
	}
	return st.QueryContext(context.Background(), args...)
}

// stmt prepares a statement once. The map stays small, because the texts are few.
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

// exec runs a statement with {names} and numbered parameters.
func (s *session) exec(text string, args ...any) error {
	q := s.layout.bind(text)
	_, err := s.raw(q.text, q.args(args)...)
	return err
}

// query reads inside the transaction.
func (s *session) query(text string, args ...any) (*sql.Rows, error) {
	q := s.layout.bind(text)
	return s.rows(q.text, q.args(args)...)
}

// ints is reader.ints inside the transaction.
func (s *session) ints(text string, args ...any) ([]int64, error) {
	return scanInts(s.query(text, args...))
}

// texts returns the first column of the rows that a SELECT inside the transaction finds.
func (s *session) texts(text string, args ...any) ([]string, error) {
	rows, err := s.query(text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var v string
		if err := scan(rows, &v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// insert, upsert and update are those of the engine, see dialect.
func (s *session) insert(t *table, rows [][]any) ([]int64, error) {
	ids, err := s.layout.dialect.insert(s, t, rows)
	if err == nil && s.redoLog != nil {
		s.redoLog.numbered(t, ids)
	}
	if err != nil {
		return nil, err
	}
	if t == &s.layout.messages.insert {
		s.layout.numbering.passed(ids)
	}
	if t == &logTable {
		s.inserted.entries = append(slices.Clip(ids), s.inserted.entries...)
	}
	return ids, nil
}

func (s *session) upsert(t *table, rows [][]any) error {
	if t == &deviceTable {
		s.marks = append(s.marks, rows...)
	}
	if t.serial != "" {
		return s.overwrite(t, rows)
	}
	return s.layout.dialect.upsert(s, t, rows)
}

// requeue deletes the refusals of a message.
func (s *session) requeue(id int64) error {
	s.requeued = append(s.requeued, id)
	s.marks = slices.DeleteFunc(s.marks, func(row []any) bool { return row[0] == any(id) && row[3] != "" })
	return s.exec(`DELETE FROM silod_device WHERE silo_id = $1 AND refused <> ''`, id)
}

func (s *session) update(t *table, rows [][]any) error { return s.layout.dialect.update(s, t, rows) }

// deleteAll deletes the rows with one of the values in the column.
func (s *session) deleteAll(table, column string, values []any) error {
	if len(values) == 0 {
		return nil
	}
	if table == s.layout.messages.table {
		s.deleted = append(s.deleted, values...)
	}
	cond, args := s.layout.dialect.list(column, 1, values)
	return s.exec("DELETE FROM "+table+" WHERE "+cond, args...)
}

// close returns the connection to the pool.
func (s *session) close() {
	for _, st := range s.stmts {
		st.Close()
	}
	s.conn.Close()
}

// drop closes the connection instead of returning it to the pool: the error tells package
// sql that it is broken. The statements have to be closed first.
func (s *session) drop() {
	for _, st := range s.stmts {
		st.Close()
	}
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn })
	s.conn.Close()
}
