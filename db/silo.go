package db

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"slices"
	"time"

	"silod/address"
	"silod/silo"
)

// pageRows is how many rows one read of a long list takes.
const pageRows = 200

// siloStore implements silo.Store on the table silo and its side tables:
// silod_meta has the header block of messages whose block does not fit,
// silod_stuck those that were set aside, and silod_device who has got a copy. All
// name the row's time of storing beside its id, because some engines use the id of
// a deleted row again.
type siloStore struct{ db *DB }

// Silo is the store of messages and reminders.
func (db *DB) Silo() silo.Store { return siloStore{db} }

const (
	selectMessage = selectRow + `0` + fromSilo
	selectCounted = selectRow + copies + fromSilo // with the number of copies that were delivered

	selectRow = `SELECT s.{id}, s.{user}, s.{host}, s.{from}, s.{to}, s.{inc}, s.{exp}, s.{snd}, s.{ctype}, s.{body},
	{callid}, {headers}, m.headers, t.reason, `
	fromSilo  = ` FROM {silo} s ` + joinMeta + joinStuck
	joinMeta  = `LEFT JOIN silod_meta m ON m.silo_id = s.{id} AND m.inc_time = s.{inc} `
	joinStuck = `LEFT JOIN silod_stuck t ON t.silo_id = s.{id} AND t.inc_time = s.{inc} `
	alive     = `(s.{exp} = 0 OR s.{exp} > $1)`
)

func (st siloStore) Add(ctx context.Context, m *silo.Message) error {
	row, err := st.db.silo.row(m, st.db.now(), st.db.d.headersFit)
	if err != nil {
		return fmt.Errorf("store message: %w", err)
	}
	o := &op{join: func(p *plan) { p.adds = append(p.adds, row) }, rows: 1, bytes: row.bytes}
	if err := st.db.w.do(ctx, o); err != nil {
		m.ID = 0
		return fmt.Errorf("store message: %w", err)
	}
	m.Stored = time.Unix(row.stored, 0)
	return nil
}

// insertMessages writes new rows and gives the messages their IDs.
func (db *DB) insertMessages(s *session, adds []*siloRow) error {
	if len(adds) == 0 {
		return nil
	}
	rows := make([][]any, len(adds))
	for i, r := range adds {
		rows[i] = r.values
	}
	ids, err := db.d.insert(s, &db.siloTable, rows)
	if err != nil {
		return fmt.Errorf("insert messages: %w", err)
	}
	var meta [][]any
	for i, r := range adds {
		r.m.ID = ids[i]
		if r.meta != nil {
			meta = append(meta, []any{ids[i], r.stored, r.meta})
		}
	}
	if meta == nil {
		return nil
	}
	if err := db.d.upsert(s, &metaTable, meta); err != nil {
		return fmt.Errorf("insert header blocks: %w", err)
	}
	return nil
}

var (
	metaTable = table{name: "silod_meta", keys: 1, fields: []field{
		{name: "silo_id", kind: kindInt}, {name: "inc_time", kind: kindInt}, {name: "headers", kind: kindBytes},
	}}
	stuckTable = table{name: "silod_stuck", keys: 1, fields: []field{
		{name: "silo_id", kind: kindInt}, {name: "inc_time", kind: kindInt}, {name: "reason"}, {name: "at", kind: kindInt},
	}}
)

func (st siloStore) Next(ctx context.Context, owner address.AoR, after int64, limit int, now time.Time) ([]silo.Message, error) {
	return st.messages(ctx, selectMessage+`WHERE {owner:2} AND s.{snd} = 0 AND s.{id} > $4 AND `+alive+
		` AND t.silo_id IS NULL ORDER BY s.{id} LIMIT $5`, now.Unix(), owner.User, owner.Domain, after, limit)
}

func (st siloStore) Due(ctx context.Context, now time.Time, limit int) ([]silo.Message, error) {
	return st.messages(ctx, selectMessage+`WHERE s.{snd} > 0 AND s.{snd} <= $1 AND `+alive+
		` AND t.silo_id IS NULL ORDER BY s.{snd}, s.{id} LIMIT $2`, now.Unix(), limit)
}

// messages reads what a SELECT gives.
func (st siloStore) messages(ctx context.Context, text string, args ...any) ([]silo.Message, error) {
	return st.scan(st.db.query(ctx, text, args...))
}

func (st siloStore) scan(rows *sql.Rows, err error) ([]silo.Message, error) {
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", busy(err))
	}
	defer rows.Close()
	var out []silo.Message
	for rows.Next() {
		m, err := scanMessage(rows, st.db.d.decodeHeaders)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read messages: %w", busy(err))
	}
	return out, nil
}

func (st siloStore) Delete(id int64, done func(error)) {
	o := &op{join: func(p *plan) { p.deletes = append(p.deletes, id) }, rows: 1, bytes: 50}
	st.db.w.send(o, func(err error) {
		if err != nil {
			err = fmt.Errorf("delete message: %w", err)
		}
		done(err)
	})
}

// deleteMessages removes rows with what belongs to them.
func (db *DB) deleteMessages(s *session, ids []any) (int, error) {
	n, err := s.deleteAll(db.silo.table, db.silo.id, ids)
	if err == nil {
		_, err = s.deleteAll("silod_meta", "silo_id", ids)
	}
	if err == nil {
		_, err = s.deleteAll("silod_stuck", "silo_id", ids)
	}
	if err == nil && db.copied.Load() {
		_, err = s.deleteAll("silod_device", "silo_id", ids)
	}
	if err != nil {
		return 0, fmt.Errorf("delete messages: %w", err)
	}
	return int(n), nil
}

func (st siloStore) SetAside(ctx context.Context, id int64, reason string) (bool, error) {
	var found bool
	reason = reasonText(reason)
	err := st.db.step(ctx, 1, func(s *session) error {
		inc, err := s.ints(`SELECT {inc} FROM {silo} WHERE {id} = $1`, id)
		if found = len(inc) > 0; err != nil || !found {
			return err
		}
		return st.db.d.upsert(s, &stuckTable, [][]any{{id, inc[0], reason, s.now}})
	})
	if err != nil {
		return false, fmt.Errorf("set message aside: %w", err)
	}
	return found, nil
}

func (st siloStore) Requeue(ctx context.Context, id int64) (bool, error) {
	var found bool
	err := st.db.step(ctx, 1, func(s *session) error {
		ids, err := s.ints(`SELECT {id} FROM {silo} WHERE {id} = $1`, id)
		if found = len(ids) > 0; err != nil {
			return err
		}
		_, err = s.exec(`DELETE FROM silod_stuck WHERE silo_id = $1`, id)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("requeue message: %w", err)
	}
	return found, nil
}

func (st siloStore) Expire(ctx context.Context, now time.Time, limit int) ([]silo.Message, error) {
	limit = min(limit, pageRows)
	var out []silo.Message
	text := selectCounted + `WHERE s.{exp} > 0 AND s.{exp} <= $1 ORDER BY s.{exp} LIMIT $2 {lock}`
	err := st.db.step(ctx, limit, func(s *session) (err error) {
		if out, err = st.scan(s.query(text, now.Unix(), limit)); err != nil {
			return err
		}
		ids := make([]any, len(out))
		for i := range out {
			ids[i] = out[i].ID
		}
		_, err = st.db.deleteMessages(s, ids)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("expire messages: %w", err)
	}
	return out, nil
}

func (st siloStore) Count(ctx context.Context, owner address.AoR) (int, error) {
	text := `SELECT count(*) FROM {silo} s WHERE {owner:1} AND s.{snd} = 0`
	if st.db.copied.Load() {
		text += ` AND NOT ` + copied
	}
	n, err := st.db.ints(ctx, text, owner.User, owner.Domain)
	if err != nil {
		return 0, fmt.Errorf("count messages: %w", err)
	}
	return int(n[0]), nil
}

// Waiting reads owners in pages, in the order of the mailbox index. A page begins
// with the last owner of the one before: in MySQL two names may sort alike.
func (st siloStore) Waiting(ctx context.Context, now time.Time, f func(address.AoR)) error {
	text := `SELECT {distinct} FROM {silo} s ` + joinStuck + `WHERE s.{snd} = 0 AND ` + alive +
		` AND t.silo_id IS NULL AND s.{user} >= $2 AND (s.{user} > $2 OR s.{host} >= $3) {grouped} LIMIT $4`
	var last []address.AoR
	for {
		from := address.AoR{}
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

func (st siloStore) owners(ctx context.Context, text string, args ...any) ([]address.AoR, error) {
	rows, err := st.db.query(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBusy, err)
	}
	defer rows.Close()
	var out []address.AoR
	for rows.Next() {
		var a address.AoR
		if err := rows.Scan(&a.User, &a.Domain); err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, rows.Err()
}

func (st siloStore) Get(ctx context.Context, id int64) (silo.Message, error) {
	ms, err := st.messages(ctx, selectCounted+`WHERE s.{id} = $1`, id)
	if err != nil {
		return silo.Message{}, err
	}
	if len(ms) == 0 {
		return silo.Message{}, fmt.Errorf("message %d: %w", id, silo.ErrNotFound)
	}
	return ms[0], nil
}

func (st siloStore) List(ctx context.Context, q silo.Query) iter.Seq2[silo.Message, error] {
	return func(yield func(silo.Message, error) bool) {
		left := q.Limit
		for {
			limit := pageRows
			if q.Limit > 0 {
				limit = min(limit, left)
			}
			where, args := selection(q, !q.Reminders)
			args = append(args, limit)
			page, err := st.messages(ctx, selectCounted+where+fmt.Sprintf(` ORDER BY s.{id} LIMIT $%d`, len(args)), args...)
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
			if left -= len(page); len(page) < limit || q.Limit > 0 && left <= 0 {
				return
			}
		}
	}
}

// selection writes a query as a condition. noReminders says what a Query that
// does not ask for reminders means: not for them only, or none of them.
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
	if q.From != "" {
		add(`s.{from} = $%d`, q.From)
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
		where += ` AND ` + copied
	}
	return where, args
}

func (st siloStore) Tally(ctx context.Context, q silo.Query) (silo.Totals, error) {
	where, args := selection(q, false)
	n, err := st.db.ints(ctx, `SELECT COUNT(CASE WHEN s.{snd} = 0 THEN 1 END),
		COUNT(CASE WHEN s.{snd} > 0 THEN 1 END), COUNT(t.silo_id), COUNT(DISTINCT {fullowner}), COALESCE(MIN(s.{inc}), 0)
		FROM {silo} s `+joinStuck+where, args...)
	if err != nil {
		return silo.Totals{}, fmt.Errorf("count messages: %w", err)
	}
	return silo.Totals{
		Messages: int(n[0]), Reminders: int(n[1]), Stuck: int(n[2]), Owners: int(n[3]), Oldest: fromUnix(n[4]),
	}, nil
}

func (st siloStore) Purge(ctx context.Context, q silo.Query, limit int) (int, error) {
	if q.Copied && !st.db.copied.Load() {
		return 0, nil
	}
	limit = min(limit, pageRows)
	if q.Limit > 0 {
		limit = min(limit, q.Limit)
	}
	where, args := selection(q, !q.Reminders)
	args = append(args, limit)
	text := `SELECT s.{id} FROM {silo} s ` + joinStuck + where + fmt.Sprintf(` ORDER BY s.{id} LIMIT $%d`, len(args))
	var n int
	err := st.db.step(ctx, limit, func(s *session) error {
		ids, err := s.ints(text, args...)
		if err != nil {
			return err
		}
		n, err = st.db.deleteMessages(s, anys(ids))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("purge messages: %w", err)
	}
	return n, nil
}

func anys[T any](in []T) []any {
	out := make([]any, len(in))
	for i, v := range in {
		out[i] = v
	}
	return out
}
