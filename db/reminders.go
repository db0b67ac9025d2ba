package db

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"silod/silo"
)

// Due implements silo.Reminders. On engines that have partial indexes it reads one that has
// only reminders.
func (st *messages) Due(ctx context.Context, now time.Time, after *silo.Message, limit int) ([]silo.Message, error) {
	const due = selectMessage + `WHERE s.{snd} > 0 AND s.{snd} <= $1 AND ` + alive + ` AND t.silo_id IS NULL `
	const order = `ORDER BY s.{snd}, s.{id} LIMIT $2`
	if after == nil {
		return st.read(ctx, due+order, now.Unix(), limit)
	}
	return st.read(ctx, due+`AND s.{snd} >= $3 AND (s.{snd} > $3 OR s.{id} > $4) `+order,
		now.Unix(), limit, after.SendAt.Unix(), after.ID)
}

// Release implements silo.Reminders. It is one step of the writer, so it has few statements,
// whatever the number of reminders. In doubt it waits: the messages of a release of which the
// outcome is not known would not be delivered before the next REGISTER of their owners.
func (st *messages) Release(ctx context.Context, rs []silo.Release) error {
	rows, bytes := make([]*messageRow, len(rs)), 0
	for i, r := range rs {
		row, err := st.layout.messageRow(r.Message, st.now())
		if err != nil {
			return fmt.Errorf("release reminder: %w", err)
		}
		rows[i], bytes = row, bytes+row.bytes
	}
	o := newStep(len(rs), func(s *session) error { return s.release(rs, rows, st.hasCopies.Load()) })
	o.bytes, o.doubt = bytes, make(chan struct{})
	if err := st.writer.do(ctx, o); err != nil {
		for _, r := range rs {
			r.Message.ID = 0
		}
		return fmt.Errorf("release reminders: %w", err)
	}
	return nil
}

// release deletes the reminders that exist, and inserts the rows of their messages.
func (s *session) release(rs []silo.Release, rows []*messageRow, copies bool) error {
	ids := make([]any, len(rs))
	for i, r := range rs {
		ids[i], r.Message.ID, r.Message.Charge = r.Reminder, 0, nil
	}
	cond, args := s.layout.dialect.list("s.{id}", 1, ids)
	found, err := s.ints(`SELECT s.{id} FROM {silo} s WHERE `+cond+` {lock}`, args...)
	if err != nil || len(found) == 0 {
		return err
	}
	charges, err := s.charges(anys(found))
	if err != nil {
		return err
	}
	exists := map[int64]bool{}
	for _, id := range found {
		exists[id] = true
	}
	var from []any
	var added []*messageRow
	for i, r := range rs {
		if exists[r.Reminder] {
			r.Message.Charge = charges[r.Reminder]
			from, added = append(from, r.Reminder), append(added, rows[i])
		}
	}
	deleted := len(s.deleted)
	if err := deleteMessages(s, from, copies); err != nil {
		return err
	}
	if _, err := insertMessages(s, added); err != nil {
		return err
	}
	s.deleted = s.deleted[:deleted:deleted] // they were moved, each to its message
	for i, row := range added {
		s.moved = append(s.moved, move{from: from[i : i+1], to: row.m.ID})
	}
	return nil
}

// charges returns the charges of those messages that are strangers', by ID.
func (s *session) charges(ids []any) (map[int64]*silo.Charge, error) {
	if !s.layout.strangers.Load() {
		return nil, nil
	}
	cond, args := s.layout.dialect.list("x.silo_id", 1, ids)
	rows, err := s.query(`SELECT x.silo_id, x.source, x.bytes FROM silod_stranger x
		JOIN {silo} s ON s.{id} = x.silo_id AND s.{inc} = x.inc_time WHERE `+cond, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[int64]*silo.Charge{}
	for rows.Next() {
		var id int64
		var source string
		var c silo.Charge
		if err := scan(rows, &id, &source, &c.Bytes); err != nil {
			return nil, err
		}
		if c.Source, err = netip.ParsePrefix(source); err == nil {
			found[id] = &c
		}
	}
	return found, rows.Err()
}
