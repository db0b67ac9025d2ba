package db

import (
	"context"
	"fmt"
	"time"

	"silod/silo"
)

// sliceRows is the number of rows that one statement about many messages or contacts examines.
const sliceRows = 2000

// fewRows is the number of messages that one statement may find by an index that does not have
// them in the order of their IDs.
const fewRows = 20_000

// A turn lets one goroutine at a time do a part of a long job. A nil turn lets all, without pauses.
type turn chan struct{}

// slowly calls f, which does a part of a long job, until it reports that there is no more.
func (t turn) slowly(ctx context.Context, f func() (more bool, err error)) error {
	for {
		if more, err := t.part(ctx, f); err != nil || !more {
			return err
		}
	}
}

// part calls f once. Of all long jobs only one part is done at a time. If there is more, the
// database then has a pause as long as the part has taken.
func (t turn) part(ctx context.Context, f func() (more bool, err error)) (bool, error) {
	if t == nil {
		return f()
	}
	select {
	case t <- struct{}{}:
	case <-ctx.Done():
		return false, busy(ctx.Err())
	}
	defer func() { <-t }()
	start := time.Now()
	more, err := f()
	if err != nil || !more {
		return false, busy(err)
	}
	select {
	case <-time.After(time.Since(start)):
		return true, nil
	case <-ctx.Done():
		return false, busy(ctx.Err())
	}
}

// A route is a way to find the messages of a query by an index. $1 and $2 are the ends of a span.
type route struct {
	index string // FROM clause of the index alone
	from  string // FROM clause, with the aliases s and t
	key   string // the ID in the index
	where string // a condition that the index serves
	args  []any  // of where, from $3 on
	few   bool   // the index has few rows, in another order than that of their IDs
}

const (
	messagesByID = `{silo} s ` + joinStuck
	stuckByID    = `silod_stuck t JOIN {silo} s ON s.{id} = t.silo_id AND s.{inc} = t.inc_time `
	copiesByID   = `(SELECT silo_id AS {id}, inc_time AS {inc}, 0 AS {snd} FROM silod_device WHERE refused = '') s ` + joinStuck
)

// routes returns the routes on which all messages of a query are found.
func (st *messages) routes(ctx context.Context, q *silo.Query) ([]route, error) {
	switch {
	case !q.Owner.IsZero():
		names, err := st.spellings.of(ctx, q.Owner)
		var list []route
		for _, n := range names {
			owner := []any{n.user, n.domain}
			if !q.Reminders {
				list = append(list, route{`{silo} s`, messagesByID, `s.{id}`, ` AND {owner:3} AND s.{snd} = 0`, owner, false})
			}
			if q.Reminders || q.Both {
				list = append(list, route{`{silo} s`, messagesByID, `s.{id} + 0`, ` AND {owner:3} AND s.{snd} > 0`, owner, true})
			}
		}
		return list, err
	case q.Stuck:
		return []route{{index: `silod_stuck t`, from: stuckByID, key: `t.silo_id`}}, nil
	case q.Copied:
		// Purge looks at the messages before it deletes them.
		return []route{{index: `(SELECT silo_id AS {id} FROM silod_device) s`, from: copiesByID, key: `s.{id}`}}, nil
	case q.Reminders:
		n, err := st.reader.ints(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM {silo} s WHERE s.{snd} > 0 LIMIT $1) x`, fewRows+1)
		if err != nil {
			return nil, err
		}
		if n[0] <= fewRows {
			return []route{{from: messagesByID, key: `s.{id} + 0`, where: ` AND s.{snd} > 0`, few: true}}, nil
		}
	}
	return []route{{index: `{silo} s`, from: messagesByID, key: `s.{id}`}}, nil
}

// A walk goes through the messages of a query in spans of IDs. In each span there are few
// messages to examine, whatever the size of the table.
type walk struct {
	messages *messages
	query    silo.Query
	routes   []route
	highest  int64 // the last ID when the walk began

	after, last int64 // the span: IDs above after, up to last
	examined    int   // messages in the span
	senders     []any // the senders in the span that the query has; nil: any
}

// walk returns a walk before its first span.
func (st *messages) walk(ctx context.Context, q silo.Query) (*walk, error) {
	highest, err := st.spellings.highest(ctx)
	if err != nil {
		return nil, err
	}
	w := &walk{messages: st, query: q, highest: highest, after: q.AfterID, last: q.AfterID}
	w.routes, err = st.routes(ctx, &w.query)
	return w, err
}

// next moves to the next span that may have messages of the query. It reports false at the end.
// After a span without such messages it returns as well, so that a call does not take long.
func (w *walk) next(ctx context.Context) (bool, error) {
	if w.after = w.last; w.after >= w.highest {
		return false, nil
	}
	w.last, w.examined, w.senders = w.highest, 0, nil
	for _, p := range w.routes {
		if p.few {
			continue
		}
		args := append([]any{w.after, w.highest}, p.args...)
		n, err := w.messages.reader.ints(ctx, fmt.Sprintf(`SELECT COUNT(*), COALESCE(MAX(x.k), 0) FROM (
			SELECT %[1]s AS k FROM %[2]s WHERE %[1]s > $1 AND %[1]s <= $2%[3]s ORDER BY %[1]s LIMIT $%[4]d) x`,
			p.key, p.index, p.where, len(args)+1), append(args, w.messages.slice)...)
		if err != nil {
			return false, err
		}
		w.examined += int(n[0])
		if n[0] >= int64(w.messages.slice) {
			w.last = min(w.last, n[1])
		}
	}
	return true, w.findSenders(ctx)
}

// where returns the end of a SELECT of the messages of the query in the span, on a route and with
// further joins.
func (w *walk) where(p *route, joins string) (string, []any) {
	q, args := &w.query, append([]any{w.after, w.last}, p.args...)
	text := fmt.Sprintf(` FROM %s%s WHERE %s > $1 AND %[3]s <= $2%s`, p.from, joins, p.key, p.where)
	if w.senders != nil {
		text, args = text+` AND `+anySender(len(args)+1, w.senders), append(args, w.senders...)
	}
	if !q.Since.IsZero() {
		args = append(args, q.Since.Unix())
		text += fmt.Sprintf(` AND s.{inc} >= $%d`, len(args))
	}
	if !q.Before.IsZero() {
		args = append(args, q.Before.Unix())
		text += fmt.Sprintf(` AND s.{inc} < $%d`, len(args))
	}
	switch { // "+ 0" keeps the engine from the index of reminders
	case q.Reminders:
		text += ` AND s.{snd} + 0 > 0`
	case !q.Both:
		text += ` AND s.{snd} + 0 = 0`
	}
	if q.Stuck {
		text += ` AND t.silo_id IS NOT NULL`
	}
	return text, args
}

// goOn tells the caller of the query that all up to after is done, and reports whether to go on.
func (w *walk) goOn() bool {
	p := silo.Slice{Examined: w.examined, Last: w.after, End: w.after >= w.highest}
	w.examined = 0
	return (w.query.Each == nil || w.query.Each(p)) && !p.End
}
