package db

import (
	"context"
	"fmt"
	"time"
)

// exactRows is the largest number of rows of a table that is counted, and not estimated.
const exactRows = 100_000

// countRows returns the number of rows of a table, an estimate where the table is large.
func (l *layout) countRows(ctx context.Context, q querier, table string) (n int64, about bool, err error) {
	few, err := scanInts(q.QueryContext(ctx, fmt.Sprintf("SELECT COUNT(*) FROM (SELECT 1 FROM %s LIMIT %d) few", table, exactRows+1)))
	if err != nil {
		return 0, false, err
	}
	if few[0] <= exactRows {
		return few[0], false, nil
	}
	n, err = l.dialect.estimateRows(ctx, q, table)
	return max(n, few[0]), true, err
}

// indexCost returns the size of an index of a table with n rows, and the time that it takes to
// create it, in words. Servers differ: it is the order of magnitude.
func indexCost(n int64) string {
	const rowBytes, rowsPerSecond = 40, 200_000
	took := max(time.Duration(n/rowsPerSecond)*time.Second, time.Second)
	return fmt.Sprintf("about %d MB, in the order of %v", n*rowBytes/1e6, took)
}
