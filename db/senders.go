package db

import (
	"context"
	"fmt"
	"iter"
	"strings"
)

// anySender returns a condition for messages from one of these senders, and appends its
// arguments to args.
func anySender(args *[]any, senders []string) string {
	var b strings.Builder
	for i, from := range senders {
		*args = append(*args, from)
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "$%d", len(*args))
	}
	return `{exactfrom} IN (` + b.String() + `)`
}

// Senders implements silo.Archive.
func (st *messages) Senders(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		rows, err := st.reader.query(ctx, `SELECT DISTINCT {exactfrom} FROM {silo} s`)
		if err != nil {
			yield("", fmt.Errorf("read senders: %w: %w", errBusy, err))
			return
		}
		defer rows.Close()
		for rows.Next() {
			var from string
			if err := scan(rows, &from); err != nil {
				yield("", fmt.Errorf("read senders: %w", err))
				return
			}
			if !yield(from, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield("", fmt.Errorf("read senders: %w: %w", errBusy, err))
		}
	}
}
