package db

import (
	"context"
	"fmt"
)

// findSenders sets the senders of the query in the span. Other programs write a sender in other
// spellings, which no condition can compare, so each sender in the span is looked at. Without
// one of the query's the span becomes empty.
func (w *walk) findSenders(ctx context.Context) error {
	if w.query.From == "" {
		return nil
	}
	w.senders = []any{}
	all := *w
	all.senders = nil
	for i := range w.routes {
		where, args := all.where(&w.routes[i], "")
		err := w.eachSender(ctx, where, args)
		if err != nil {
			return fmt.Errorf("read senders: %w", busy(err))
		}
	}
	if len(w.senders) == 0 {
		w.after = w.last
	}
	return nil
}

// eachSender adds the query's senders that a SELECT finds.
func (w *walk) eachSender(ctx context.Context, where string, args []any) error {
	rows, err := w.messages.reader.query(ctx, `SELECT DISTINCT {exactfrom}, {fromkey}`+where, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var from, key string
		if err := scan(rows, &from, &key); err != nil {
			return err
		}
		if same := w.query.SameFrom; from == w.query.From || same != nil && same(from) {
			w.senders = append(w.senders, key)
		}
	}
	return rows.Err()
}
