package db

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"silod/silo"
	"silod/sip"
)

// Waiting implements silo.Mailbox. It reads pages of owners, in the order of the mailbox
// index. A page begins with the last owner of the page before, not behind it: MySQL may
// sort two names as equal, and the other one may not have been read yet.
func (st *messages) Waiting(ctx context.Context, now time.Time, f func(sip.AoR)) error {
	waiting := `t.silo_id IS NULL`
	if st.hasCopies.Load() {
		waiting = waitingOrMarked
	}
	text := `SELECT {distinct} FROM {silo} s ` + joinStuck + `WHERE s.{snd} = 0 AND ` + alive +
		` AND ` + waiting + ` AND s.{user} >= $2 AND (s.{user} > $2 OR s.{host} >= $3) {grouped} LIMIT $4`
	var last []sip.AoR
	for {
		from := sip.AoR{}
		if len(last) > 0 {
			from = last[len(last)-1]
		}
		page, err := st.owners(ctx, text, now.Unix(), from.User, from.Domain, pageRows)
		if err != nil {
			return fmt.Errorf("read waiting mailboxes: %w", err)
		}
		for _, a := range page {
			if !slices.Contains(last, a) {
				f(a)
			}
		}
		if len(page) < pageRows || slices.Equal(page, last) {
			return nil
		}
		last = page
	}
}

// owners reads a page of Waiting. On an engine that may sort different names as equal,
// each row also has the bytes of the names, which keep DISTINCT from merging them.
func (st *messages) owners(ctx context.Context, text string, args ...any) ([]sip.AoR, error) {
	rows, err := st.reader.query(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBusy, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var a sip.AoR
	var bytes [2]any
	into := []any{&a.User, &a.Domain, &bytes[0], &bytes[1]}[:len(columns)]
	var out []sip.AoR
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, rows.Err()
}

// Get implements silo.Archive.
func (st *messages) Get(ctx context.Context, id int64) (silo.Message, error) {
	ms, err := st.read(ctx, selectCounted+`WHERE s.{id} = $1`, id)
	if err != nil {
		return silo.Message{}, err
	}
	if len(ms) == 0 {
		return silo.Message{}, fmt.Errorf("message %d: %w", id, silo.ErrNotFound)
	}
	return ms[0], nil
}

// A long list is read by small pages, so that it does not delay other reads and the writer.
// But the database may have to search for every page as long as for the whole list, so a
// page has minListRows at least.
const (
	listRows    = 50
	minListRows = 8
	listBytes   = 64 << 10 // of bodies
)

// nextPageRows returns the number of rows to read after a page: the longer its messages,
// the fewer.
func nextPageRows(page []silo.Message) int {
	bytes := 0
	for i := range page {
		bytes += len(page[i].Body)
	}
	return max(minListRows, min(listRows, listBytes*len(page)/max(bytes, 1)))
}

// List implements silo.Archive. It reads by pages, so that no transaction is open while the
// caller works.
func (st *messages) List(ctx context.Context, q silo.Query) iter.Seq2[silo.Message, error] {
	return func(yield func(silo.Message, error) bool) {
		left, rows := q.Limit, listRows
		for {
			limit := rows
			if q.Limit > 0 {
				limit = min(limit, left)
			}
			where, args := selection(q, !q.Both)
			args = append(args, limit)
			page, err := st.read(ctx, selectCounted+where+fmt.Sprintf(` ORDER BY s.{id} LIMIT $%d`, len(args)), args...)
			if err != nil {
				yield(silo.Message{}, err)
				return
			}
			for _, m := range page {
				if !yield(m, nil) {
					return
				}
				q.AfterID = m.ID
			}
			rows = nextPageRows(page)
			if left -= len(page); len(page) < limit || q.Limit > 0 && left <= 0 {
				return
			}
		}
	}
}

// selection returns a query as a condition with its arguments. noReminders excludes
// reminders, unless the query asks for reminders only.
func selection(q silo.Query, noReminders bool) (string, []any) {
	args := []any{q.AfterID}
	where := `WHERE s.{id} > $1`
	add := func(cond string, values ...any) {
		args = append(args, values...)
		where += " AND " + fmt.Sprintf(cond, len(args))
	}
	if !q.Owner.IsZero() {
		args = append(args, q.Owner.User, q.Owner.Domain)
		where += fmt.Sprintf(` AND {owner:%d}`, len(args)-1)
	}
	switch {
	case len(q.OtherFrom) > 0:
		where += ` AND ` + anySender(&args, append([]string{q.From}, q.OtherFrom...))
	case q.From != "":
		add(`s.{from} = $%d`, q.From)
	}
	if !q.Since.IsZero() {
		add(`s.{inc} >= $%d`, q.Since.Unix())
	}
	if !q.Before.IsZero() {
		add(`s.{inc} < $%d`, q.Before.Unix())
	}
	switch {
	case q.Reminders:
		where += ` AND s.{snd} > 0`
	case noReminders:
		where += ` AND s.{snd} = 0`
	}
	if q.Stuck {
		where += ` AND t.silo_id IS NOT NULL`
	}
	if q.Copied {
		where += ` AND ` + hasCopy
	}
	return where, args
}

// Tally implements silo.Archive. One statement counts everything.
func (st *messages) Tally(ctx context.Context, q silo.Query) (silo.Totals, error) {
	where, args := selection(q, false)
	n, err := st.reader.ints(ctx, `SELECT COUNT(CASE WHEN s.{snd} = 0 THEN 1 END),
		COUNT(CASE WHEN s.{snd} > 0 THEN 1 END), COUNT(t.silo_id), COUNT(DISTINCT {fullowner}), COALESCE(MIN(s.{inc}), 0)
		FROM {silo} s `+joinStuck+where, args...)
	if err != nil {
		return silo.Totals{}, fmt.Errorf("count messages: %w", err)
	}
	return silo.Totals{
		Messages: int(n[0]), Reminders: int(n[1]), Stuck: int(n[2]), Owners: int(n[3]), Oldest: fromUnix(n[4]),
	}, nil
}

// Tidy implements silo.Archive. It counts messages. It searches with the reader, so that no write waits, and
// checks again before it deletes.
func (st *messages) Tidy(ctx context.Context, limit int) (int, error) {
	const absent = ` WHERE NOT EXISTS (SELECT 1 FROM {silo} s WHERE s.{id} = x.silo_id AND s.{inc} = x.inc_time)`
	deleted := 0
	for _, table := range []string{"silod_device", "silod_stuck", "silod_stranger"} {
		ids, err := st.reader.ints(ctx, `SELECT DISTINCT x.silo_id FROM `+table+` x`+absent+` LIMIT $1`, min(limit, pageRows))
		if err != nil {
			return deleted, fmt.Errorf("find rows of deleted messages: %w", err)
		}
		if len(ids) == 0 {
			continue
		}
		err = st.writer.step(ctx, len(ids), func(s *session) error {
			for _, id := range ids {
				_, err := s.exec(`DELETE FROM `+table+
					` WHERE silo_id = $1 AND inc_time NOT IN (SELECT s.{inc} FROM {silo} s WHERE s.{id} = $1)`, id)
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return deleted, fmt.Errorf("delete rows of deleted messages: %w", err)
		}
		deleted += len(ids)
	}
	return deleted, nil
}

// Purge implements silo.Archive. It finds and deletes in one transaction: a message that is
// requeued in between would otherwise be deleted as one that is set aside.
func (st *messages) Purge(ctx context.Context, q silo.Query, limit int) (int, error) {
	if q.Copied && !st.hasCopies.Load() {
		return 0, nil
	}
	limit = min(limit, pageRows)
	if q.Limit > 0 {
		limit = min(limit, q.Limit)
	}
	where, args := selection(q, !q.Both)
	args = append(args, limit)
	text := `SELECT s.{id} FROM {silo} s ` + joinStuck + where + fmt.Sprintf(` ORDER BY s.{id} LIMIT $%d`, len(args))
	var n int
	err := st.writer.step(ctx, limit, func(s *session) error {
		ids, err := s.ints(text, args...)
		if err != nil {
			return err
		}
		n, err = deleteMessages(s, anys(ids), st.hasCopies.Load())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("purge messages: %w", err)
	}
	return n, nil
}
