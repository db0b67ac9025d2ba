package db

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"silod/silo"
	"silod/sip"
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

// Every read of messages begins with one of these, and scanMessage reads what it
// gives. The side tables are joined: they are nearly empty, and so cost little.
const (
	selectMessage = selectRow + `0, 0` + fromSilo
	selectCounted = selectRow + copies + `, ` + marked + fromSilo // with the number of copies that were delivered

	selectRow = `SELECT s.{id}, s.{user}, s.{host}, s.{from}, s.{to}, s.{inc}, s.{exp}, s.{snd}, s.{ctype}, s.{body},
	{callid}, {headers}, m.headers, t.reason, `
	fromSilo  = ` FROM {silo} s ` + joinMeta + joinStuck
	joinMeta  = `LEFT JOIN silod_meta m ON m.silo_id = s.{id} AND m.inc_time = s.{inc} `
	joinStuck = `LEFT JOIN silod_stuck t ON t.silo_id = s.{id} AND t.inc_time = s.{inc} `
	alive     = `(s.{exp} = 0 OR s.{exp} > $1)`
)

// Add finds out first what the table cannot hold, so that a bad message does not
// get its neighbours' transaction tried twice. Only the writer sets the ID.
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

// AddAll is one op: what is in it goes into one transaction, in its order.
func (st siloStore) AddAll(ctx context.Context, ms []*silo.Message) error {
	o := &op{rows: len(ms)}
	adds := make([]*siloRow, len(ms))
	for i, m := range ms {
		row, err := st.db.silo.row(m, st.db.now(), st.db.d.headersFit)
		if err != nil {
			return fmt.Errorf("store message: %w", err)
		}
		adds[i] = row
		o.bytes += row.bytes
	}
	o.join = func(p *plan) { p.adds = append(p.adds, adds...) }
	if err := st.db.w.do(ctx, o); err != nil {
		for _, m := range ms {
			m.ID = 0
		}
		return fmt.Errorf("store messages: %w", err)
	}
	for i, m := range ms {
		m.Stored = time.Unix(adds[i].stored, 0)
	}
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

// The side tables of silo.
var (
	metaTable = table{name: "silod_meta", keys: 1, fields: []field{
		{name: "silo_id", kind: kindInt}, {name: "inc_time", kind: kindInt}, {name: "headers", kind: kindBytes},
	}}
	stuckTable = table{name: "silod_stuck", keys: 1, fields: []field{
		{name: "silo_id", kind: kindInt}, {name: "inc_time", kind: kindInt}, {name: "reason"}, {name: "at", kind: kindInt},
	}}
)

// Next is what every REGISTER asks. The mailbox index has all columns of the
// condition and the order, so a mailbox that is empty costs one look.
func (st siloStore) Next(ctx context.Context, owner sip.AoR, after int64, limit int, now time.Time) ([]silo.Message, error) {
	return st.messages(ctx, selectMessage+`WHERE {owner:2} AND s.{snd} = 0 AND s.{id} > $4 AND `+alive+
		` AND t.silo_id IS NULL ORDER BY s.{id} LIMIT $5`, now.Unix(), owner.User, owner.Domain, after, limit)
}

// Due has an index of reminders alone, where the engine has such a thing.
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

// Delete needs no answer of the row: one that is gone is gone.
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

// SetAside notes the row's time of storing with the reason: a row that gets the
// same id later must not inherit it.
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

// Expire takes small steps, whatever the limit: SQLite has one writer, and nobody
// can store while it works.
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

// Count reads the index only.
func (st siloStore) Count(ctx context.Context, owner sip.AoR) (int, error) {
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
