package db

import (
	"context"
	"fmt"
	"strings"
	"time"

	"silod/registrar"
	"silod/sip"
)

// LastRow implements registrar.Shared.
func (st *bindings) LastRow(ctx context.Context) (int64, error) {
	n, err := st.reader.ints(ctx, "SELECT COALESCE(MAX(id), 0) FROM {location}")
	if err != nil {
		return 0, fmt.Errorf("read bindings: %w", err)
	}
	return n[0], nil
}

// Others implements registrar.Shared. The statements use the index of the numbers.
func (st *bindings) Others(
	ctx context.Context, after int64, f func(sip.AoR, registrar.Binding), skip func(error),
) (last int64, err error) {
	n, err := st.reader.ints(ctx, fmt.Sprintf("SELECT id FROM {location} WHERE id > $1 ORDER BY id LIMIT 1 OFFSET %d", sliceRows-1), after)
	if err != nil {
		return 0, fmt.Errorf("read bindings: %w", err)
	}
	if len(n) > 0 {
		last = n[0]
	} else if last, err = st.LastRow(ctx); err != nil || last <= after {
		return last, err
	}
	cond := "l.id > $1 AND l.id <= $2 AND l.ruid NOT LIKE '" + registrar.RUIDPrefix + "%'"
	return last, st.some(ctx, f, skip, cond, after, last)
}

// Rows implements registrar.Shared.
func (st *bindings) Rows(
	ctx context.Context, ruids []string, f func(sip.AoR, registrar.Binding), skip func(error),
) error {
	cond, args := st.layout.dialect.list("l.ruid", 1, anys(ruids))
	return st.some(ctx, f, skip, cond, args...)
}

// some calls f for the bindings in the rows for which a condition is true. All rows have been
// read before. The lines of silod_binding are read with a statement of their own: with a join
// MySQL could not use the index, if location has another character set.
func (st *bindings) some(
	ctx context.Context, f func(sip.AoR, registrar.Binding), skip func(error), cond string, args ...any,
) error {
	columns := st.columns()
	text := "SELECT " + strings.Join(columns, ", ") + " FROM {location} l WHERE " + cond + " ORDER BY l.id"
	var rows [][]any
	var ruids []any
	err := st.scan(ctx, len(columns), func(values []any) {
		rows = append(rows, append(values, nil))
		ruids = append(ruids, asText(values[0]))
	}, text, args...)
	if err != nil || len(rows) == 0 {
		return err
	}
	lines := map[string]any{}
	cond, args = st.layout.dialect.list("ruid", 1, ruids)
	err = st.scan(ctx, 2, func(values []any) { lines[asText(values[0])] = values[1] },
		"SELECT ruid, extra FROM silod_binding WHERE "+cond, args...)
	if err != nil {
		return err
	}
	for _, values := range rows {
		values[len(columns)] = lines[asText(values[0])]
		st.read(values, f, skip)
	}
	return nil
}

// scan calls f for the rows that a SELECT of n columns finds.
func (st *bindings) scan(ctx context.Context, n int, f func([]any), text string, args ...any) error {
	rows, err := st.reader.query(ctx, text, args...)
	if err != nil {
		return fmt.Errorf("read bindings: %w", busy(err))
	}
	defer rows.Close()
	ptrs := make([]any, n)
	for rows.Next() {
		values := make([]any, n, n+1)
		for i := range values {
			ptrs[i] = &values[i]
		}
		if err := scan(rows, ptrs...); err != nil {
			return fmt.Errorf("read bindings: %w", err)
		}
		f(values)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read bindings: %w", busy(err))
	}
	return nil
}

// expiredRows is the number of expired rows that are deleted together.
const expiredRows = 200

// DeleteExpired implements registrar.Shared.
func (st *bindings) DeleteExpired(ctx context.Context, before time.Time) (n int, err error) {
	for _, r := range st.layout.dialect.timeRanges(permanentBefore, before.Unix()) {
		if n, err = st.deleteExpired(ctx, r); n > 0 || err != nil {
			break
		}
	}
	if err != nil {
		return n, fmt.Errorf("delete expired bindings: %w", err)
	}
	return n, nil
}

// deleteExpired deletes some of the rows that expired in a range of times. They are found without
// the writer, which then needs no more than their numbers.
func (st *bindings) deleteExpired(ctx context.Context, between [2]any) (int, error) {
	ids, err := st.reader.ints(ctx, fmt.Sprintf("SELECT id FROM {location} WHERE expires > $1 AND expires < $2 ORDER BY expires LIMIT %d",
		expiredRows), between[:]...)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	cond, args := st.layout.dialect.list("id", 3, anys(ids))
	args = append(between[:], args...)
	return len(ids), st.writer.step(ctx, len(ids), func(s *session) error {
		expired := " FROM {location} WHERE expires > $1 AND expires < $2 AND " + cond // not extended since then
		ruids, err := s.texts("SELECT ruid"+expired, args...)
		if err != nil {
			return err
		}
		if err = s.exec("DELETE"+expired, args...); err == nil {
			err = s.deleteAll(bindingTable.name, "ruid", anys(ruids))
		}
		return err
	})
}
