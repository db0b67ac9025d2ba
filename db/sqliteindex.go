package db

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// createIndex implements dialect. An SQLite file has one writer: another program that writes it
// waits until the index is complete. It can read.
func (d *sqliteDB) createIndex(ctx context.Context, conn *sql.Conn, p *missingPart, _ time.Duration) error {
	for _, st := range p.create {
		if _, err := conn.ExecContext(ctx, st); err != nil {
			return fmt.Errorf("%s: %w", firstLine(st), err)
		}
	}
	return nil
}

// indexProgress implements dialect.
func (d *sqliteDB) indexProgress(context.Context, querier, string) (percent int, waits string) {
	return -1, ""
}
