package db

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// arrays returns one array for each column of the rows, as arguments, and the FROM item v
// that expands the arrays to rows, with their position ord.
func (d *postgresDB) arrays(t *table, rows [][]any) (from string, args []any) {
	var casts []string
	for i, f := range t.fields {
		e := d.element(f)
		casts = append(casts, "$"+strconv.Itoa(i+1)+"::"+e.name+"[]")
		args = append(args, e.array(rows, i))
	}
	names := strings.Join(t.names(), ",")
	return "unnest(" + strings.Join(casts, ",") + ") WITH ORDINALITY AS v(" + names + ",ord)", args
}

// element returns the type in which the values of a field are sent.
func (d *postgresDB) element(f field) *pgElement {
	switch f.kind {
	case kindBytes:
		return &pgBytes
	case kindInt:
		return &pgInt
	case kindReal:
		return &pgReal
	case kindHeaders:
		return &pgHeaders
	case kindTime:
		if !d.numbers {
			return &pgTime
		}
		return &pgInt
	}
	return &pgText
}

// insert implements dialect. The rows are numbered in their order, because the default of
// the serial column is evaluated after the sort. RETURNING may return the numbers in any
// order.
func (d *postgresDB) insert(s *session, t *table, rows [][]any) ([]int64, error) {
	from, args := d.arrays(t, rows)
	names := strings.Join(t.names(), ",")
	text := "INSERT INTO " + t.name + " (" + names + ") SELECT " + names + " FROM " + from + " ORDER BY ord"
	if t.serial == "" {
		_, err := s.raw(text, args...)
		return nil, err
	}
	ids, err := scanInts(s.rows(text+" RETURNING "+t.serial, args...))
	if err != nil {
		return nil, err
	}
	if len(ids) != len(rows) {
		return nil, fmt.Errorf("%d rows inserted instead of %d", len(ids), len(rows))
	}
	slices.Sort(ids)
	return ids, nil
}

// upsert implements dialect.
func (d *postgresDB) upsert(s *session, t *table, rows [][]any) error {
	from, args := d.arrays(t, rows)
	names := strings.Join(t.names(), ",")
	_, err := s.raw("INSERT INTO "+t.name+" ("+names+") SELECT "+names+" FROM "+from+onConflict(t, "GREATEST"), args...)
	return err
}

// update implements dialect. It joins the table with the rows.
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

// list implements dialect. It passes the values as one array.
func (d *postgresDB) list(col string, n int, values []any) (string, []any) {
	e := &pgInt
	if _, text := values[0].(string); text {
		e = &pgText
	}
	rows := make([][]any, len(values))
	for i := range values {
		rows[i] = values[i : i+1]
	}
	return col + " = ANY($" + strconv.Itoa(n) + "::" + e.name + "[])", []any{e.array(rows, 0)}
}
