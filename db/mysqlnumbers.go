package db

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// numbering implements dialect. MySQL may report a number of yesterday as the next one, so the
// highest number of a row counts too.
func (d *mysqlDB) numbering(ctx context.Context, q querier, table, column string) (*numbering, error) {
	rows, err := q.QueryContext(ctx, `SELECT c.column_type, COALESCE(LEAST(t.auto_increment, 9223372036854775807), 1)
		FROM information_schema.columns c JOIN information_schema.tables t
			ON t.table_schema = c.table_schema AND t.table_name = c.table_name
		WHERE c.table_schema = DATABASE() AND c.table_name = ? AND c.column_name = ? AND c.extra LIKE '%auto_increment%'`, table, column)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	if !rows.Next() {
		return nil, rows.Err()
	}
	var kind string
	var next int64
	if err := scan(rows, &kind, &next); err != nil {
		return nil, err
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	// LEAST: a number without sign may have 64 bits.
	high, err := scanInts(q.QueryContext(ctx, fmt.Sprintf("SELECT COALESCE(LEAST(MAX(%s), 9223372036854775807), 0) FROM %s", column, table)))
	if err != nil {
		return nil, err
	}
	return &numbering{
		last: max(next-1, high[0]), limit: mysqlMaximum(kind), most: high[0],
		repair: fmt.Sprintf("ALTER TABLE %s MODIFY %s BIGINT UNSIGNED NOT NULL AUTO_INCREMENT", table, column),
	}, nil
}

// mysqlMaximum returns the highest value of an integer type, such as "int(10) unsigned".
func mysqlMaximum(kind string) int64 {
	name, _, _ := strings.Cut(strings.Fields(kind)[0], "(")
	bits := map[string]uint{"tinyint": 7, "smallint": 15, "mediumint": 23, "int": 31, "integer": 31}[name]
	if bits == 0 {
		return math.MaxInt64
	}
	if strings.Contains(kind, "unsigned") {
		bits++
	}
	return 1<<bits - 1
}

// lastNumber matches the error of a row with the last number of a column, which the table has
// already: the server gives it again and again.
var lastNumber = regexp.MustCompile(`'(127|255|32767|65535|8388607|16777215|2147483647|4294967295|` +
	`9223372036854775807|18446744073709551615)' for key '([^']*\.)?PRIMARY'`)

// numbersEnd reports whether an error says that the numbers of a table are used up: no other
// number that silod writes can be out of range.
func numbersEnd(me *mysql.MySQLError) bool {
	switch me.Number {
	case 167, 1264, 1467:
		return true
	case 1062:
		return lastNumber.MatchString(me.Message)
	}
	return false
}

// estimateRows implements dialect.
func (d *mysqlDB) estimateRows(ctx context.Context, q querier, table string) (int64, error) {
	n, err := scanInts(q.QueryContext(ctx, "SELECT COALESCE(table_rows, 0) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?", table))
	if err != nil || len(n) == 0 {
		return 0, err
	}
	return n[0], nil
}
