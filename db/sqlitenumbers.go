package db

import (
	"context"
	"math"
)

// numbering implements dialect. Every integer key has 64 bits.
func (d *sqliteDB) numbering(ctx context.Context, q querier, table, column string) (*numbering, error) {
	info, err := d.columns(ctx, q, table)
	if err != nil {
		return nil, err
	}
	if _, ok := info[column]; !ok {
		return nil, nil // the table does not number its rows
	}
	n, err := highest(ctx, q, table, column)
	if err != nil {
		return nil, err
	}
	return &numbering{last: n, most: n, limit: math.MaxInt64, repair: "delete the row with this number"}, nil
}

// estimateRows implements dialect. Rows that were deleted count as well.
func (d *sqliteDB) estimateRows(ctx context.Context, q querier, table string) (int64, error) {
	n, err := scanInts(q.QueryContext(ctx, "SELECT COALESCE(MAX(rowid) - MIN(rowid) + 1, 0) FROM "+table))
	if err != nil {
		return 0, err
	}
	return n[0], nil
}
