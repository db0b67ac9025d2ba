package db

import (
	"cmp"
	"context"
	"fmt"
	"strings"
)

// findSenders sets the senders of the query in the span. Other programs write a sender in other
// spellings, which no condition can compare, so each sender in the span is looked at. Without
// one of the query's the span becomes empty.
func (w *walk) findSenders(ctx context.Context) error {
	if w.query.From == "" {
		return nil
	}
	w.senders = []any{}
	if w.query.SameFrom == nil {
		w.senders = append(w.senders, w.query.From)
		if w.query.From == anonymous {
			w.senders = append(w.senders, "")
		}
		return nil
	}
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

// anySender returns the condition that the sender is one of the parameters from n on. Each is a
// parameter of its own, because a sender may be no valid text.
func anySender(n int, senders []any) string {
	var b strings.Builder
	for i := range senders {
		fmt.Fprintf(&b, ", $%d", n+i)
	}
	return `{exactfrom} IN (` + b.String()[2:] + `)`
}

// eachSender adds the query's senders that a SELECT finds.
func (w *walk) eachSender(ctx context.Context, where string, args []any) error {
	rows, err := w.messages.reader.query(ctx, `SELECT DISTINCT {exactfrom}`+where, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var v any
		if err := scan(rows, &v); err != nil {
			return err
		}
		from := asText(v)
		if shown := cmp.Or(from, anonymous); shown == w.query.From || w.query.SameFrom(shown) {
			w.senders = append(w.senders, from)
		}
	}
	return rows.Err()
}
