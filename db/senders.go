package db

import (
	"cmp"
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
		return nil
	}
	for n := len(w.senders); n&(n-1) != 0; n++ { // so that there are few statements
		w.senders = append(w.senders, w.senders[0])
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
		if shown, same := cmp.Or(from, anonymous), w.query.SameFrom; shown == w.query.From || same != nil && same(shown) {
			w.senders = append(w.senders, key)
		}
	}
	return rows.Err()
}
