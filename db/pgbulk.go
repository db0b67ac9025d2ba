package db

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"
)

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
