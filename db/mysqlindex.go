package db

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// createIndex implements dialect. LOCK=NONE lets others write an InnoDB table. The statement
// needs the table for itself for a moment at its beginning and its end. While it waits for that,
// others wait behind it, so it gives up after a second, and the caller tries again.
func (d *mysqlDB) createIndex(ctx context.Context, conn *sql.Conn, p *missingPart, _ time.Duration) error {
	session, err := scanInts(conn.QueryContext(ctx, "SELECT CONNECTION_ID()"))
	if err != nil {
		return err
	}
	online, err := scanInts(conn.QueryContext(ctx,
		"SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ? AND engine = 'InnoDB'", p.table))
	if err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, "SET SESSION lock_wait_timeout = 1"); err != nil {
		return err
	}
	// The driver would leave a canceled statement running in the server.
	defer context.AfterFunc(ctx, func() { d.kill(context.WithoutCancel(ctx), session[0]) })()
	for _, st := range p.create {
		if len(online) > 0 {
			st += " ALGORITHM=INPLACE LOCK=NONE"
		}
		if _, err := conn.ExecContext(context.WithoutCancel(ctx), st); err != nil {
			return fmt.Errorf("%s: %w", firstLine(st), err)
		}
	}
	return nil
}

// kill ends the statement of a session.
func (d *mysqlDB) kill(ctx context.Context, session int64) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	pool, err := d.connect(ctx, forCheck)
	if err != nil {
		return
	}
	defer pool.Close()
	_, _ = pool.ExecContext(ctx, "KILL QUERY "+strconv.FormatInt(session, 10))
}

// indexProgress implements dialect. MariaDB tells the percentage of the index that is created
// now, of whatever table, in hundredths; MySQL does not.
func (d *mysqlDB) indexProgress(ctx context.Context, q querier, _ string) (percent int, waits string) {
	rows, err := q.QueryContext(ctx, "SHOW GLOBAL STATUS LIKE 'Innodb_onlineddl_pct_progress'")
	if err != nil {
		return -1, ""
	}
	defer rows.Close()
	var name, value string
	if !rows.Next() || scan(rows, &name, &value) != nil || rows.Err() != nil {
		return -1, ""
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || n <= 0 {
		return -1, ""
	}
	return int(min(n/100, 100)), ""
}
