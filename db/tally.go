package db

import (
	"context"
	"fmt"
	"time"

	"silod/silo"
	"silod/sip"
)

// Tally implements silo.Archive.
func (st *messages) Tally(ctx context.Context, q silo.Query) (silo.Totals, error) {
	var sum silo.Totals
	q.Both = !q.Reminders
	w, err := st.walk(ctx, q)
	if err == nil {
		err = st.turn.slowly(ctx, func() (bool, error) {
			ok, err := w.next(ctx)
			if !ok || err != nil {
				return false, err
			}
			err = w.tally(ctx, &sum)
			w.after = w.last
			return err == nil && w.goOn(), err
		})
	}
	if err != nil {
		return silo.Totals{}, fmt.Errorf("count messages: %w", busy(err))
	}
	return sum, nil
}

// tally counts the messages of the query in the span.
func (w *walk) tally(ctx context.Context, sum *silo.Totals) error {
	for i := range w.routes {
		if w.after >= w.last {
			break
		}
		route, more := w.routes[i], `COUNT(t.silo_id), COALESCE(MIN(s.{inc}), 0)`
		if q := &w.query; !q.Owner.IsZero() && !q.Stuck && q.From == "" && q.Since.IsZero() && q.Before.IsZero() {
			route.from, more = route.index, `0, 0` // the index has all that is needed
		}
		where, args := w.where(&route, "")
		n, err := w.messages.reader.ints(ctx, `SELECT COUNT(CASE WHEN s.{snd} = 0 THEN 1 END), COUNT(CASE WHEN s.{snd} > 0 THEN 1 END), `+
			more+where, args...)
		if err != nil {
			return err
		}
		sum.Messages, sum.Reminders, sum.Stuck = sum.Messages+int(n[0]), sum.Reminders+int(n[1]), sum.Stuck+int(n[2])
		if at := fromUnix(n[3]); !at.IsZero() && (sum.Oldest.IsZero() || at.Before(sum.Oldest)) {
			sum.Oldest = at
		}
	}
	return nil
}

// Owners implements silo.Archive. It remembers only the owners that have several names.
func (st *messages) Owners(ctx context.Context) (int, error) {
	if _, err := st.spellings.any(ctx); err != nil {
		return 0, fmt.Errorf("count owners of messages: %w", err)
	}
	n, counted := 0, map[sip.AoR]bool{}
	pages := ownerPages{turn: st.turn, rows: waitingRows}
	err := pages.each(ctx, st.reader, func(name rowName) {
		a := st.layout.aor(name)
		if st.spellings.has(a) {
			if counted[a] {
				return
			}
			counted[a] = true
		}
		n++
	})
	if err != nil {
		return 0, fmt.Errorf("count owners of messages: %w", err)
	}
	return n, nil
}

// Waiting implements silo.Mailbox. An owner whose name other programs have written in several
// ways may be reported several times.
func (st *messages) Waiting(ctx context.Context, now time.Time, f func(sip.AoR)) error {
	if err := st.spellings.look(ctx); err != nil {
		return err
	}
	waiting := `t.silo_id IS NULL`
	if st.hasCopies.Load() {
		waiting = waitingOrMarked
	}
	pages := ownerPages{joinStuck, ` AND s.{snd} = 0 AND ` + alive + ` AND ` + waiting, []any{now.Unix()}, st.turn, waitingRows}
	if err := pages.each(ctx, st.reader, func(n rowName) { f(st.layout.aor(n)) }); err != nil {
		return fmt.Errorf("read waiting mailboxes: %w", err)
	}
	return nil
}
