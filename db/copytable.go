package db

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A tableCopy is a table that is copied row by row.
type tableCopy struct {
	from     string
	to       table
	order    string
	counted  bool   // its rows are those of the progress
	complete string // the column that is completed with the domain, "" if none is
	after    int64  // the rows with a higher number, of a table with numbers
}

// copyTable copies a table as a whole, and compares the counts. Rows that an interrupted copy
// has written are written again.
func (c *copier) copyTable(ctx context.Context, t tableCopy) error {
	if c.columns[t.to.name] == nil {
		return nil
	}
	if err := c.clear(ctx, &t.to); err != nil {
		return err
	}
	if err := c.copyRows(ctx, &t); err != nil {
		return fmt.Errorf("table %s: %w", t.from, err)
	}
	return c.compare(ctx, copiedTable{t.from, t.to.name})
}

// clear deletes the rows that an interrupted copy has written to a table, some at a time.
func (c *copier) clear(ctx context.Context, t *table) error {
	for c.resumed {
		keys, err := c.keys(ctx, t)
		if err != nil {
			return busy(err)
		}
		if len(keys) == 0 {
			return nil
		}
		err = c.to.writer.step(ctx, len(keys), func(s *session) error {
			return s.deleteAll(t.name, t.fields[0].name, keys)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// keys returns some values of the first field of a table of the target.
func (c *copier) keys(ctx context.Context, t *table) (keys []any, err error) {
	rows, err := c.to.reader.query(ctx, fmt.Sprintf("SELECT DISTINCT %s FROM %s LIMIT %d", t.fields[0].name, t.name, pageRows))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		row, err := scanRow(rows, t.fields[:1])
		if err != nil {
			return nil, err
		}
		keys = append(keys, row[0])
	}
	return keys, rows.Err()
}

// copyRows writes the rows of a table of the source that is read as a whole.
func (c *copier) copyRows(ctx context.Context, t *tableCopy) error {
	rows, err := c.from.reader.query(ctx, c.selectRows(t))
	if err != nil {
		return busy(err)
	}
	defer rows.Close()
	domain := slices.IndexFunc(t.to.fields, func(f field) bool { return f.name == t.complete })
	var page []copiedRow
	for rows.Next() {
		row, err := scanRow(rows, t.to.fields)
		if err != nil {
			return err
		}
		completed := domain >= 0 && c.o.Domain != "" && row[domain] == "" && row[0] != ""
		if completed {
			row[domain] = c.o.Domain
		}
		if page = append(page, copiedRow{row, completed}); len(page) == pageRows {
			if err := c.putRows(ctx, t, page); err != nil {
				return err
			}
			page = nil
		}
	}
	if err := rows.Err(); err != nil {
		return busy(err)
	}
	return c.putRows(ctx, t, page)
}

// selectRows returns the SELECT of a table. Columns that the source does not have are empty.
func (c *copier) selectRows(t *tableCopy) string {
	columns := t.to.names()
	for i := range columns {
		if _, ok := c.columns[t.to.name][columns[i]]; !ok {
			columns[i] = t.to.fields[i].blank()
		}
	}
	text := "SELECT " + strings.Join(columns, ", ") + " FROM " + t.from
	if t.after > 0 {
		text += fmt.Sprintf(" WHERE %s > %d", columns[0], t.after)
	}
	return text + " ORDER BY " + t.order
}

// A copiedRow is a row of a tableCopy.
type copiedRow struct {
	values    []any
	completed bool // with the domain
}

// putRows writes rows of a table. A row that was completed may be another row's user: that row
// counts, so nothing is lost.
func (c *copier) putRows(ctx context.Context, t *tableCopy, page []copiedRow) error {
	done := c.done
	if !t.counted {
		done = func(int) {}
	}
	write := func(rows []copiedRow) error {
		values := make([][]any, len(rows))
		for i, r := range rows {
			values[i] = slices.Clone(r.values)
		}
		if !strings.HasPrefix(t.to.name, "silod_") {
			if err := c.fitText(values); err != nil {
				return err
			}
		}
		return c.to.writer.step(ctx, len(rows), func(s *session) error {
			_, err := s.insert(&t.to, values)
			return err
		})
	}
	return divide(page, write, done, func(r copiedRow, err error) {
		var name strings.Builder
		for i, v := range r.values[:min(3, len(r.values))] {
			if t.to.fields[i].kind != kindBytes {
				fmt.Fprintf(&name, " %q", asText(v))
			}
		}
		c.pass(Passed{Table: t.to.name, Row: "row" + name.String(), Reason: oneLine(err), Lost: !r.completed})
	})
}

// scanRow reads a row with the values of fields.
func scanRow(r scanner, fields []field) ([]any, error) {
	row, into := make([]any, len(fields)), make([]any, len(fields))
	for i := range row {
		into[i] = &row[i]
	}
	if err := scan(r, into...); err != nil {
		return nil, fmt.Errorf("read row: %w", err)
	}
	for i, f := range fields {
		switch f.kind {
		case kindInt:
			row[i] = asInt(row[i])
		case kindBytes:
			row[i] = []byte(asText(row[i]))
		default:
			row[i] = asText(row[i])
		}
	}
	return row, nil
}
