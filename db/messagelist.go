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

// waitingRows is the number of rows in a page of Waiting.
const waitingRows = 1000

// Waiting implements silo.Mailbox. It reads pages of rows, in the order of the mailbox index, so
// that no statement takes long however many messages there are. The last owner of a page may
// have more rows, and MySQL may sort other names as equal to it. So the names that are equal to
// it are read as well, and the next page begins behind them. An owner whose name other programs
// have written in several ways may be reported several times.
func (st *messages) Waiting(ctx context.Context, now time.Time, f func(sip.AoR)) error {
	if err := st.spellings.look(ctx); err != nil {
		return err
	}
	waiting := `t.silo_id IS NULL`
	if st.hasCopies.Load() {
		waiting = waitingOrMarked
	}
	from := ` FROM {silo} s ` + joinStuck + `WHERE s.{snd} = 0 AND ` + alive + ` AND ` + waiting
	next := `SELECT s.{user}, s.{host}` + from + ` AND s.{user} >= $2 AND (s.{user} > $2 OR s.{host} > $3)
		ORDER BY s.{user}, s.{host} LIMIT $4`
	equal := `SELECT {owners}` + from + ` AND s.{user} = $2 AND s.{host} = $3`
	for last := (rowName{}); ; {
		var page []rowName
		seen := map[rowName]bool{}
		add := func(n rowName) {
			if last = n; !seen[n] {
				seen[n] = true
				page = append(page, n)
			}
		}
		rows, err := eachOwner(ctx, st.reader, add, next, now.Unix(), last.user, last.domain, waitingRows)
		if err == nil && rows == waitingRows {
			_, err = eachOwner(ctx, st.reader, add, equal, now.Unix(), last.user, last.domain)
		}
		if err != nil {
			return fmt.Errorf("read waiting mailboxes: %w", busy(err))
		}
		for _, n := range page {
			f(st.layout.aor(n))
		}
		if rows < waitingRows {
			return nil
		}
	}
}

// eachOwner calls f for the owners that a SELECT finds, and returns the number of rows. A SELECT
// of {distinct} has also the bytes of the names on an engine that may sort different names as
// equal, which keep DISTINCT from merging them.
func eachOwner(ctx context.Context, r *reader, f func(rowName), text string, args ...any) (count int, err error) {
	rows, err := r.query(ctx, text, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return 0, err
	}
	var n, last rowName
	var bytes [2]any
	into := []any{&n.user, &n.domain, &bytes[0], &bytes[1]}[:len(columns)]
	for rows.Next() {
		if err := scan(rows, into...); err != nil {
			return count, err
		}
		if n != last || count == 0 {
			f(n)
		}
		last = n
		count++
	}
	return count, rows.Err()
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
			page, err := st.page(ctx, q, limit)
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

// page returns the first messages that match a query.
func (st *messages) page(ctx context.Context, q silo.Query, limit int) ([]silo.Message, error) {
	return st.merge(ctx, q.Owner, limit, func(n rowName) ([]silo.Message, error) {
		where, args := selection(q, n, !q.Both)
		args = append(args, limit)
		return st.read(ctx, selectCounted+where+fmt.Sprintf(` ORDER BY s.{id} LIMIT $%d`, len(args)), args...)
	})
}

// selection returns a query as a condition with its arguments. The owner, if the query has one,
// is selected under one of its names. noReminders excludes reminders, unless the query asks for
// reminders only.
func selection(q silo.Query, owner rowName, noReminders bool) (string, []any) {
	args := []any{q.AfterID}
	where := `WHERE s.{id} > $1`
	add := func(cond string, values ...any) {
		args = append(args, values...)
		where += " AND " + fmt.Sprintf(cond, len(args))
	}
	if !q.Owner.IsZero() {
		args = append(args, owner.user, owner.domain)
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

// Tally implements silo.Archive. One statement counts everything under one name.
func (st *messages) Tally(ctx context.Context, q silo.Query) (silo.Totals, error) {
	names, err := st.spellings.of(ctx, q.Owner)
	if err != nil {
		return silo.Totals{}, fmt.Errorf("count messages: %w", err)
	}
	var sum silo.Totals
	for _, name := range names {
		where, args := selection(q, name, false)
		n, err := st.reader.ints(ctx, `SELECT COUNT(CASE WHEN s.{snd} = 0 THEN 1 END),
			COUNT(CASE WHEN s.{snd} > 0 THEN 1 END), COUNT(t.silo_id), COUNT(DISTINCT {fullowner}), COALESCE(MIN(s.{inc}), 0)
			FROM {silo} s `+joinStuck+where, args...)
		if err != nil {
			return silo.Totals{}, fmt.Errorf("count messages: %w", err)
		}
		sum.Messages, sum.Reminders = sum.Messages+int(n[0]), sum.Reminders+int(n[1])
		sum.Stuck, sum.Owners = sum.Stuck+int(n[2]), sum.Owners+int(n[3])
		if at := fromUnix(n[4]); !at.IsZero() && (sum.Oldest.IsZero() || at.Before(sum.Oldest)) {
			sum.Oldest = at
		}
	}
	if sum.Owners > 1 {
		if sum.Owners, err = st.countOwners(ctx, q, sum.Owners); err != nil {
			return silo.Totals{}, fmt.Errorf("count owners of messages: %w", err)
		}
	}
	return sum, nil
}

// countOwners returns the number of owners, of which rows have so many names.
func (st *messages) countOwners(ctx context.Context, q silo.Query, names int) (int, error) {
	switch several, err := st.spellings.any(ctx); {
	case err != nil:
		return 0, err
	case !q.Owner.IsZero():
		return 1, nil
	case !several:
		return names, nil
	}
	where, args := selection(q, rowName{}, false)
	n, counted := 0, map[sip.AoR]bool{}
	_, err := eachOwner(ctx, st.reader, func(name rowName) {
		a := st.layout.aor(name)
		if st.spellings.has(a) {
			if counted[a] {
				return
			}
			counted[a] = true
		}
		n++
	}, `SELECT {distinct} FROM {silo} s `+joinStuck+where, args...)
	return n, busy(err)
}

// Tidy implements silo.Archive. It counts messages. It searches with the reader, so that no
// write waits, and checks again before it deletes. It also has the names of owners read again.
func (st *messages) Tidy(ctx context.Context, limit int) (int, error) {
	const absent = ` WHERE NOT EXISTS (SELECT 1 FROM {silo} s WHERE s.{id} = x.silo_id AND s.{inc} = x.inc_time)`
	st.spellings.reread()
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
	names, err := st.spellings.of(ctx, q.Owner)
	if err != nil {
		return 0, fmt.Errorf("purge messages: %w", err)
	}
	var n int
	err = st.writer.step(ctx, limit, func(s *session) error {
		var all []int64
		for _, name := range names {
			where, args := selection(q, name, !q.Both)
			args = append(args, limit)
			ids, err := s.ints(`SELECT s.{id} FROM {silo} s `+joinStuck+where+fmt.Sprintf(` ORDER BY s.{id} LIMIT $%d`, len(args)), args...)
			if err != nil {
				return err
			}
			all = append(all, ids...)
		}
		slices.Sort(all)
		var err error
		n, err = deleteMessages(s, anys(all[:min(len(all), limit)]), st.hasCopies.Load())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("purge messages: %w", err)
	}
	return n, nil
}
