package db

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
)

// A reader reads from the database, on connections of its own.
type reader struct {
	layout *layout
	pool   *sql.DB
	reads  sync.Map // *read by text; there are few texts, because values are parameters
}

// A read is a SELECT with its names filled in and its parameters bound, prepared where
// the engine prepares statements.
type read struct {
	query
	stmt *sql.Stmt
}

// query runs a SELECT. The text may contain {names}, see layout.fill. When a table was
// changed since the statement was prepared, query prepares it again, once.
func (r *reader) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	for again := true; ; again = false {
		q, err := r.read(ctx, text)
		if err != nil {
			return nil, err
		}
		bound := q.args(args)
		if r.layout.watch != nil {
			r.layout.watch(q.text, bound)
		}
		if q.stmt == nil {
			return r.pool.QueryContext(ctx, q.text, bound...)
		}
		rows, err := q.stmt.QueryContext(ctx, bound...)
		if err == nil || !again || r.layout.dialect.fault(err) != faultStale {
			return rows, err
		}
		if r.reads.CompareAndDelete(text, q) {
			q.stmt.Close()
		}
	}
}

// read returns the prepared form of a SELECT, from reads or new.
func (r *reader) read(ctx context.Context, text string) (*read, error) {
	if q, ok := r.reads.Load(text); ok {
		return q.(*read), nil
	}
	q := &read{query: r.layout.bind(text)}
	if r.layout.traits.prepare {
		var err error
		if q.stmt, err = r.pool.PrepareContext(ctx, q.text); err != nil {
			return nil, err
		}
	}
	if first, existing := r.reads.LoadOrStore(text, q); existing {
		if q.stmt != nil {
			q.stmt.Close()
		}
		return first.(*read), nil
	}
	return q, nil
}

// ints returns the numbers that a SELECT finds: the columns of all rows, row by row. Its
// error is errBusy.
func (r *reader) ints(ctx context.Context, text string, args ...any) ([]int64, error) {
	n, err := scanInts(r.query(ctx, text, args...))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBusy, err)
	}
	return n, nil
}

// closeIdle closes the connections that are not in use, when the writer has lost its own:
// they lead to the same server, which may be down or no longer the primary.
func (r *reader) closeIdle() {
	r.pool.SetMaxIdleConns(0)
	r.pool.SetMaxIdleConns(readerConns)
}

// scanInts returns what ints does for the result of a query. It takes the error of the
// query, so that a call can be its arguments.
func scanInts(rows *sql.Rows, err error) ([]int64, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	out := []int64{}
	for rows.Next() {
		row := make([]int64, len(names))
		ptrs := make([]any, len(names))
		for i := range row {
			ptrs[i] = &row[i]
		}
		if err := scan(rows, ptrs...); err != nil {
			return nil, err
		}
		out = append(out, row...)
	}
	return out, rows.Err()
}
