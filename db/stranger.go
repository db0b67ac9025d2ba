package db

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"silod/silo"
)

// silod_stranger has a row for each message that counts against the limits of strangers: its
// source and its size. The table is usually empty, and layout.strangers keeps statements from
// using an empty table.
var strangerTable = table{name: "silod_stranger", keys: 1, fields: []field{
	{name: "silo_id", kind: kindInt}, {name: "inc_time", kind: kindInt}, {name: "source"}, {name: "bytes", kind: kindInt},
}}

// strangerRow returns the row of a charge.
func strangerRow(c *silo.Charge, inc int64) []any {
	return []any{c.ID, inc, c.Source.String(), c.Bytes}
}

// findStrangers finds out whether silod_stranger has rows.
func (st *messages) findStrangers(ctx context.Context) error {
	n, err := scanInts(st.reader.pool.QueryContext(ctx, "SELECT 1 FROM silod_stranger LIMIT 1"))
	if err != nil {
		return fmt.Errorf("inspect table silod_stranger: %w", err)
	}
	st.layout.strangers.Store(len(n) > 0)
	return nil
}

// Observe implements silo.Strangers.
func (st *messages) Observe(f silo.Observer) { st.writer.observe = f }

// report tells the observer of the changes of a transaction that was committed.
func (w *writer) report(s *session) {
	if w.observe == nil || len(s.charged) == 0 && (len(s.deleted)+len(s.moved) == 0 || !w.layout.strangers.Load()) {
		return
	}
	gone := make([]int64, 0, len(s.deleted))
	add := func(ids []any) {
		for _, id := range ids {
			if n, ok := id.(int64); ok {
				gone = append(gone, n)
			}
		}
	}
	add(s.deleted)
	for _, m := range s.moved {
		add(m.from)
	}
	w.observe(s.charged, gone)
}

// reportUnknown tells the observer that changes were committed, or lost, that are not known.
func (w *writer) reportUnknown() {
	if w.observe != nil {
		w.observe(nil, nil)
	}
}

// Charges implements silo.Strangers. It leaves out messages that another program has deleted.
func (st *messages) Charges(ctx context.Context) ([]silo.Charge, error) {
	if !st.layout.strangers.Load() {
		return nil, nil
	}
	rows, err := st.reader.query(ctx, `SELECT x.silo_id, x.source, x.bytes FROM silod_stranger x
		CROSS JOIN {silo} s WHERE s.{id} = x.silo_id AND s.{inc} = x.inc_time`) // in this order on SQLite
	if err != nil {
		return nil, fmt.Errorf("read messages of strangers: %w", busy(err))
	}
	defer rows.Close()
	var list []silo.Charge
	for rows.Next() {
		var c silo.Charge
		var source string
		if err := scan(rows, &c.ID, &source, &c.Bytes); err != nil {
			return nil, fmt.Errorf("read messages of strangers: %w", err)
		}
		if c.Source, err = netip.ParsePrefix(source); err == nil {
			list = append(list, c)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read messages of strangers: %w", busy(err))
	}
	return list, nil
}

// Feign implements silo.Mailbox: one transaction stores the message and deletes it.
func (st *messages) Feign(ctx context.Context, m *silo.Message) error {
	row, err := st.layout.messageRow(m, st.now())
	if err != nil {
		return fmt.Errorf("store message: %w", err)
	}
	err = st.writer.step(ctx, 1, func(s *session) error {
		if _, err := insertMessages(s, []*messageRow{row}); err != nil {
			return err
		}
		return deleteMessages(s, []any{m.ID}, st.hasCopies.Load())
	})
	if err != nil {
		m.ID = 0
		return fmt.Errorf("store message: %w", err)
	}
	m.Stored = time.Unix(row.stored, 0)
	return nil
}
