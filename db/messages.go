package db

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"silod/silo"
	"silod/sip"
)

// pageRows is the number of rows that one read of a long list returns.
const pageRows = 200

// messages implements silo.Store on the table silo and its side tables: silod_meta has
// the header blocks that do not fit into silo, silod_stuck the messages set aside,
// silod_device the answers of devices, and silod_stranger the charges of strangers. A row of a
// side table belongs to the message with its ID and its time of storing: some engines use the ID
// of a deleted row again.
type messages struct {
	layout *layout
	writer *writer
	reader *reader
	now    func() time.Time

	turn  turn // of jobs that read many messages
	slice int  // sliceRows

	hasCopies atomic.Bool // silod_device has rows
	spellings spellings
}

// Every read of messages begins with selectMessage or selectCounted; scanMessage reads
// their rows. The joins with the side tables cost little, because those are nearly empty.
const (
	selectMessage = selectRow + `0, 0` + fromSilo
	selectMarked  = selectRow + `0, ` + isMarked + fromSilo
	selectCounted = selectRow + countCopies + `, ` + isMarked + fromSilo // with the number of delivered copies

	selectRow = `SELECT s.{id}, s.{user}, s.{host}, s.{from}, s.{to}, s.{inc}, s.{exp}, s.{snd}, s.{ctype}, s.{body},
	{callid}, {headers}, m.headers, t.reason, `
	fromSilo  = ` FROM {silo} s ` + joinMeta + joinStuck
	joinMeta  = `LEFT JOIN silod_meta m ON m.silo_id = s.{id} AND m.inc_time = s.{inc} `
	joinStuck = `LEFT JOIN silod_stuck t ON t.silo_id = s.{id} AND t.inc_time = s.{inc} `
	alive     = `(s.{exp} <= 0 OR s.{exp} > $1)`
)

// Add implements silo.Mailbox. It builds the row before it queues the write, so that a
// message that the table cannot hold does not cost the other messages of the transaction a
// second attempt.
func (st *messages) Add(ctx context.Context, m *silo.Message) error {
	row, err := st.layout.messageRow(m, st.now())
	if err != nil {
		return fmt.Errorf("store message: %w", err)
	}
	if len(m.Marks) > 0 {
		st.hasCopies.Store(true)
	}
	o := &op{join: func(p *plan) { p.messages = append(p.messages, row) }, rows: 1 + len(m.Marks), bytes: row.bytes}
	if err := st.writer.do(ctx, o); err != nil {
		m.ID = 0
		return fmt.Errorf("store message: %w", err)
	}
	m.Stored = time.Unix(row.stored, 0)
	return nil
}

// AddAll implements silo.Archive. It queues one write, so that all rows are in one
// transaction, in their order.
func (st *messages) AddAll(ctx context.Context, ms []*silo.Message) error {
	o := &op{rows: len(ms)}
	rows := make([]*messageRow, len(ms))
	for i, m := range ms {
		row, err := st.layout.messageRow(m, st.now())
		if err != nil {
			return fmt.Errorf("store message: %w", err)
		}
		rows[i] = row
		o.bytes += row.bytes
		if len(m.Marks) > 0 {
			st.hasCopies.Store(true)
		}
	}
	o.join = func(p *plan) { p.messages = append(p.messages, rows...) }
	if err := st.writer.do(ctx, o); err != nil {
		for _, m := range ms {
			m.ID = 0
		}
		return fmt.Errorf("store messages: %w", err)
	}
	for i, m := range ms {
		m.Stored = time.Unix(rows[i].stored, 0)
	}
	return nil
}

// insertMessages writes new rows, and sets and returns the IDs of their messages.
func insertMessages(s *session, messages []*messageRow) ([]int64, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	rows := make([][]any, len(messages))
	for i, r := range messages {
		rows[i] = r.values
	}
	ids, err := s.insert(&s.layout.messages.insert, rows)
	if err != nil {
		return nil, fmt.Errorf("insert messages: %w", err)
	}
	var meta, stuck, marks, strangers [][]any
	for i, r := range messages {
		r.m.ID = ids[i]
		if r.meta != nil {
			meta = append(meta, []any{ids[i], r.stored, r.meta})
		}
		if r.m.Stuck != "" {
			stuck = append(stuck, []any{ids[i], r.stored, reasonText(r.m.Stuck), s.now})
		}
		if r.m.Marks != nil {
			marks = append(marks, markRows(ids[i], r.stored, s.now, r.m.Marks)...)
		}
		if c := r.m.Charge; c != nil {
			charge := silo.Charge{ID: ids[i], Source: c.Source, Bytes: c.Bytes}
			strangers, s.charged = append(strangers, strangerRow(&charge, r.stored)), append(s.charged, charge)
		}
	}
	return ids, s.upsertParts(part{&metaTable, meta}, part{&stuckTable, stuck}, part{&deviceTable, marks}, part{&strangerTable, strangers})
}

// A part is a set of rows for a table.
type part struct {
	t    *table
	rows [][]any
}

// upsertParts writes the rows of several tables.
func (s *session) upsertParts(parts ...part) error {
	for _, p := range parts {
		if len(p.rows) == 0 {
			continue
		}
		if err := s.upsert(p.t, p.rows); err != nil {
			return fmt.Errorf("insert into %s: %w", p.t.name, err)
		}
	}
	return nil
}

// The side tables of silo, see also deviceTable.
var (
	metaTable = table{name: "silod_meta", keys: 1, fields: []field{
		{name: "silo_id", kind: kindInt}, {name: "inc_time", kind: kindInt}, {name: "headers", kind: kindBytes},
	}}
	stuckTable = table{name: "silod_stuck", keys: 1, fields: []field{
		{name: "silo_id", kind: kindInt}, {name: "inc_time", kind: kindInt}, {name: "reason"}, {name: "at", kind: kindInt},
	}}
)

// Next implements silo.Mailbox. It runs at every REGISTER. The mailbox index has all columns
// of the condition and of the order, so that an empty mailbox costs one look at the index.
func (st *messages) Next(
	ctx context.Context, owner sip.AoR, devices []string, after int64, limit int, now time.Time,
) ([]silo.Message, error) {
	return st.merge(ctx, owner, limit, func(n rowName) ([]silo.Message, error) {
		if len(devices) > 0 && st.hasCopies.Load() {
			return st.nextFor(ctx, n, devices, after, limit, now)
		}
		return st.read(ctx, selectMessage+`WHERE {owner:2} AND s.{snd} = 0 AND s.{id} > $4 AND `+alive+
			` AND t.silo_id IS NULL ORDER BY s.{id} LIMIT $5`, now.Unix(), n.user, n.domain, after, limit)
	})
}

// merge returns the first limit messages, in the order of their IDs, that read returns for the
// names of an owner, each in that order.
func (st *messages) merge(
	ctx context.Context, owner sip.AoR, limit int, read func(rowName) ([]silo.Message, error),
) ([]silo.Message, error) {
	names, err := st.spellings.of(ctx, owner)
	if err != nil {
		return nil, err
	}
	all, err := read(names[0])
	for _, n := range names[1:] {
		if err != nil {
			return nil, err
		}
		var ms []silo.Message
		ms, err = read(n)
		all = append(all, ms...)
	}
	if len(names) > 1 {
		slices.SortFunc(all, func(a, b silo.Message) int { return cmp.Compare(a.ID, b.ID) })
		all = all[:min(len(all), limit)]
	}
	return all, err
}

// read returns the messages that a SELECT finds.
func (st *messages) read(ctx context.Context, text string, args ...any) ([]silo.Message, error) {
	return st.scan(st.reader.query(ctx, text, args...))
}

// scan returns the messages in the result of a query. It takes the error of the query, as
// scanInts does.
func (st *messages) scan(rows *sql.Rows, err error) ([]silo.Message, error) {
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", busy(err))
	}
	defer rows.Close()
	var out []silo.Message
	for rows.Next() {
		m, err := scanMessage(rows, st.layout)
		if err != nil {
			return nil, err
		}
		if st.writer.hidesMessage(m.ID) {
			continue
		}
		out = append(out, m)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read messages: %w", busy(err))
	}
	return out, nil
}

// Delete implements silo.Mailbox. A message that does not exist is not an error.
func (st *messages) Delete(id int64, done func(error)) {
	o := &op{join: func(p *plan) {
		p.deletes = append(p.deletes, id)
		p.copies = p.copies || st.hasCopies.Load()
	}, rows: 1, bytes: 50}
	st.writer.send(o, func(err error) {
		if err != nil {
			err = fmt.Errorf("delete message: %w", err)
		}
		done(err)
	})
}

// deleteMessages deletes messages with their rows in the side tables. copies reports whether silod_device has rows.
func deleteMessages(s *session, ids []any, copies bool) error {
	err := s.deleteAll(s.layout.messages.table, s.layout.messages.id, ids)
	if err == nil {
		err = s.deleteAll("silod_meta", "silo_id", ids)
	}
	if err == nil {
		err = s.deleteAll("silod_stuck", "silo_id", ids)
	}
	if err == nil && copies {
		err = s.deleteAll("silod_device", "silo_id", ids)
	}
	if err == nil && s.layout.strangers.Load() {
		err = s.deleteAll("silod_stranger", "silo_id", ids)
	}
	if err != nil {
		return fmt.Errorf("delete messages: %w", err)
	}
	return nil
}

// storedAt returns the time of storing of a message, none if it does not exist.
func (s *session) storedAt(id int64) ([]int64, error) {
	return s.ints(`SELECT {inc} FROM {silo} WHERE {id} = $1`, id)
}

// SetAside implements silo.Mailbox. It also runs for a message that is set aside already,
// and replaces the reason.
func (st *messages) SetAside(ctx context.Context, id int64, reason string, marks []silo.Copy) (bool, error) {
	var found bool
	reason = reasonText(reason)
	if len(marks) > 0 {
		st.hasCopies.Store(true)
	}
	err := st.writer.step(ctx, 1+len(marks), func(s *session) error {
		inc, err := s.storedAt(id)
		if found = len(inc) > 0; err != nil || !found {
			return err
		}
		err = s.upsert(&stuckTable, [][]any{{id, inc[0], reason, s.now}})
		if err != nil || len(marks) == 0 {
			return err
		}
		return s.upsert(&deviceTable, markRows(id, inc[0], s.now, marks))
	})
	if err != nil {
		return false, fmt.Errorf("set message aside: %w", err)
	}
	return found, nil
}

// Requeue implements silo.Archive. Marks of delivered copies stay.
func (st *messages) Requeue(ctx context.Context, id int64) (bool, error) {
	var found bool
	err := st.writer.step(ctx, 1, func(s *session) error {
		inc, err := s.storedAt(id)
		if found = len(inc) > 0; err != nil {
			return err
		}
		if err = s.exec(`DELETE FROM silod_stuck WHERE silo_id = $1`, id); err != nil || !st.hasCopies.Load() {
			return err
		}
		return s.requeue(id)
	})
	if err != nil {
		return false, fmt.Errorf("requeue message: %w", err)
	}
	return found, nil
}
