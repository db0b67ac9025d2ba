package db

import (
	"slices"
	"strings"
)

// overwrite is upsert for a table that numbers its rows: an upsert would use up a number for each
// row that it overwrites. The rows that are new are upserted all the same, because another
// program may have added them meanwhile, or the engine may take two names for one.
func (s *session) overwrite(t *table, rows [][]any) error {
	for some := range slices.Chunk(rows, batchRows) {
		existing, err := s.existing(t, some)
		if err != nil {
			return err
		}
		var changed, added [][]any
		for _, row := range some {
			values, found := existing[rowKey(t, row)]
			switch {
			case !found:
				added = append(added, row)
			case values != rowText(row[t.keys:]):
				changed = append(changed, row)
			}
		}
		if len(changed) > 0 {
			err = s.layout.dialect.update(s, t, changed)
		}
		if err == nil && len(added) > 0 {
			err = s.layout.dialect.upsert(s, t, added)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// existing returns those of the rows that the table has, with their values, by their keys.
func (s *session) existing(t *table, rows [][]any) (map[string]string, error) {
	var firsts []any
	wanted := make(map[string]bool, len(rows))
	for _, row := range rows {
		if !slices.Contains(firsts, row[0]) {
			firsts = append(firsts, row[0])
		}
		wanted[rowKey(t, row)] = true
	}
	cond, args := s.layout.dialect.list(t.fields[0].name, 1, firsts)
	found, err := s.query("SELECT "+strings.Join(t.names(), ", ")+" FROM "+t.name+" WHERE "+cond, args...)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	existing := make(map[string]string, len(rows))
	row, ptrs := make([]any, len(t.fields)), make([]any, len(t.fields))
	for i := range row {
		ptrs[i] = &row[i]
	}
	for found.Next() {
		if err := scan(found, ptrs...); err != nil {
			return nil, err
		}
		if key := rowKey(t, row); wanted[key] {
			existing[key] = rowText(row[t.keys:])
		}
	}
	return existing, found.Err()
}

// rowKey returns the key of a row as one text.
func rowKey(t *table, row []any) string { return rowText(row[:t.keys]) }

// rowText returns values as one text. No name has a NUL.
func rowText(values []any) string {
	var b strings.Builder
	for _, v := range values {
		b.WriteString(asText(v))
		b.WriteByte(0)
	}
	return b.String()
}
