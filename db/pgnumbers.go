package db

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
)

// renumber implements dialect. The sequences do not know the numbers of rows that were
// written together with their numbers.
func (d *postgresDB) renumber(s *session) error {
	for table, column := range map[string]string{s.layout.messages.table: s.layout.messages.id, "silod_room_log": "seq"} {
		_, err := s.raw(fmt.Sprintf("SELECT setval(pg_get_serial_sequence('%[1]s', '%[2]s'), GREATEST((SELECT MAX(%[2]s) FROM %[1]s), 1))", table, column))
		if err != nil {
			return fmt.Errorf("number the rows of table %s: %w", table, err)
		}
	}
	return nil
}

// maxSkipped limits the numbers that skipNumbers leaves out: to set a sequence takes a right
// that silod may not have.
const maxSkipped = 1_000_000

// skipNumbers implements dialect. A sequence keeps its numbers when the transaction is rolled
// back.
func (d *postgresDB) skipNumbers(s *session, t *table, last int64) error {
	const next = "nextval(pg_get_serial_sequence($1, $2))"
	n, err := s.ints("SELECT COALESCE("+next+", $3)", t.name, t.serial, last) // $3: no sequence
	if err != nil || n[0] >= last {
		return err
	}
	_, err = s.ints("SELECT count("+next+") FROM generate_series(1, $3)", t.name, t.serial, min(last-n[0], maxSkipped))
	return err
}

// numbering implements dialect. The limit is that of the column or of its sequence. Where silod
// may not read the sequence, the highest number of a row stands for the last one.
func (d *postgresDB) numbering(ctx context.Context, q querier, table, column string) (*numbering, error) {
	rows, err := q.QueryContext(ctx, `SELECT s.oid::regclass::text, format_type(s.type, NULL), p.seqmax, p.seqcycle,
			CASE WHEN has_sequence_privilege(s.oid, 'SELECT, USAGE') THEN pg_sequence_last_value(s.oid) END
		FROM (SELECT a.atttypid AS type, COALESCE(
				(SELECT d.refobjid FROM pg_attrdef f JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
					AND d.refclassid = 'pg_class'::regclass JOIN pg_class c ON c.oid = d.refobjid AND c.relkind = 'S'
				WHERE f.adrelid = a.attrelid AND f.adnum = a.attnum LIMIT 1),
				(SELECT to_regclass(pg_get_serial_sequence($1, $2)) WHERE to_regclass($1) IS NOT NULL)) AS oid
			FROM pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attname = $2 AND NOT a.attisdropped) s
		JOIN pg_sequence p ON p.seqrelid = s.oid WHERE p.seqincrement > 0`, table, column)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	if !rows.Next() {
		return nil, rows.Err()
	}
	var sequence, kind string
	var most int64
	var cycle bool
	var last sql.NullInt64
	if err := scan(rows, &sequence, &kind, &most, &cycle, &last); err != nil {
		return nil, err
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	n := &numbering{last: last.Int64, limit: min(most, pgMaximum(kind))}
	n.repair = fmt.Sprintf("ALTER SEQUENCE %s AS bigint NO MAXVALUE NO CYCLE", sequence)
	if kind != "bigint" {
		n.repair = fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s TYPE bigint; ", table, column) + n.repair
	}
	if n.most, err = highest(ctx, q, table, column); err != nil {
		return nil, err
	}
	if !last.Valid && !cycle {
		n.last = max(n.last, n.most)
	}
	if !cycle { // a sequence that begins again is behind the rows on purpose
		n.reset = fmt.Sprintf("SELECT setval('%s', %d)", sequence, n.most)
	}
	return n, nil
}

// pgMaximum returns the highest value of an integer type.
func pgMaximum(kind string) int64 {
	switch kind {
	case "smallint":
		return math.MaxInt16
	case "integer":
		return math.MaxInt32
	}
	return math.MaxInt64
}

var planRows = regexp.MustCompile(`rows=(\d+)`)

// estimateRows implements dialect. After a crash the server has forgotten the number; then the
// planner guesses it from the size of the table.
func (d *postgresDB) estimateRows(ctx context.Context, q querier, table string) (int64, error) {
	live, err := scanInts(q.QueryContext(ctx, "SELECT n_live_tup FROM pg_stat_user_tables WHERE relid = to_regclass($1)", table))
	if err != nil || len(live) > 0 && live[0] > 0 {
		return slices.Max(append(live, 0)), err
	}
	rows, err := q.QueryContext(ctx, "EXPLAIN SELECT 1 FROM "+table)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var line string
	if rows.Next() {
		if err := scan(rows, &line); err != nil {
			return 0, err
		}
	}
	if m := planRows.FindStringSubmatch(line); m != nil {
		n, _ := strconv.ParseInt(m[1], 10, 64)
		return n, rows.Err()
	}
	return 0, rows.Err()
}
