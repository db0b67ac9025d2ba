package db

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// createIndex implements dialect. CONCURRENTLY lets others write the table. It waits for
// the transactions that were open when it began, no longer than the patience. An index that an
// interrupted attempt has left is invalid, and is created again.
func (d *postgresDB) createIndex(ctx context.Context, conn *sql.Conn, p *missingPart, patience time.Duration) error {
	invalid, err := scanInts(conn.QueryContext(ctx, `SELECT 1 FROM pg_index
		WHERE indrelid = to_regclass($1) AND indexrelid = to_regclass($2) AND NOT indisvalid`, p.table, p.name))
	if err != nil {
		return err
	}
	statements := []string{"SET statement_timeout = 0", fmt.Sprintf("SET lock_timeout = %d", patience.Milliseconds())}
	if len(invalid) > 0 {
		statements = append(statements, "DROP INDEX CONCURRENTLY IF EXISTS "+p.name)
	}
	for _, st := range p.create {
		statements = append(statements, strings.Replace(st, "CREATE INDEX", "CREATE INDEX CONCURRENTLY", 1))
	}
	for _, st := range statements {
		if _, err := conn.ExecContext(ctx, st); err != nil {
			return fmt.Errorf("%s: %w", firstLine(st), err)
		}
	}
	return nil
}

// indexProgress implements dialect. The table is read twice: to build the index, and to find
// the rows that were added meanwhile.
func (d *postgresDB) indexProgress(ctx context.Context, q querier, table string) (percent int, waits string) {
	rows, err := q.QueryContext(ctx, `SELECT phase, blocks_total, blocks_done, tuples_total, tuples_done, COALESCE(current_locker_pid, 0),
		COALESCE((SELECT application_name FROM pg_stat_activity a WHERE a.pid = current_locker_pid), '')
		FROM pg_stat_progress_create_index WHERE relid = to_regclass($1)`, table)
	if err != nil {
		return -1, ""
	}
	defer rows.Close()
	var phase, program string
	var blocks, blocksDone, tuples, tuplesDone, pid int64
	if !rows.Next() || scan(rows, &phase, &blocks, &blocksDone, &tuples, &tuplesDone, &pid, &program) != nil || rows.Err() != nil {
		return -1, ""
	}
	if strings.HasPrefix(phase, "waiting") && pid != 0 {
		waits = fmt.Sprintf("waits for a transaction of process %d (%s)", pid, program)
	}
	for _, p := range []struct {
		phase       string
		from, to    int
		total, done int64
	}{
		{"waiting for writers before build", 0, 0, 0, 0},
		{"building index: scanning table", 0, 40, blocks, blocksDone},
		{"building index: sorting", 40, 40, 0, 0},
		{"building index: loading", 40, 60, tuples, tuplesDone},
		{"building index", 0, 40, blocks, blocksDone},
		{"waiting for writers before validation", 60, 60, 0, 0},
		{"index validation: scanning index", 60, 70, blocks, blocksDone},
		{"index validation: sorting", 70, 70, 0, 0},
		{"index validation: scanning table", 70, 99, blocks, blocksDone},
		{"waiting for", 99, 99, 0, 0},
	} {
		if strings.HasPrefix(phase, p.phase) {
			if p.total > 0 {
				p.from += int(int64(p.to-p.from) * min(p.done, p.total) / p.total)
			}
			return p.from, waits
		}
	}
	return 0, waits
}
