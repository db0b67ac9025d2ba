package db

import (
	"context"
	"fmt"
	"strings"
)

// devices copies the marks of devices.
func (c *copier) devices(ctx context.Context) error {
	return c.copySide(ctx, &deviceTable, "silo_id, device")
}

// strangers copies the charges of messages.
func (c *copier) strangers(ctx context.Context) error {
	c.to.layout.strangers.Store(true)
	return c.copySide(ctx, &strangerTable, "silo_id")
}

// rooms copies the rows of rooms as they are, also those that Load skips. The members are
// copied in the order of their rows: of several owners the first is the owner.
func (c *copier) rooms(ctx context.Context) error {
	from, to := &c.from.layout.rooms, &c.to.layout.rooms
	for _, t := range []struct {
		from  string
		to    *table
		order string
	}{
		{from.members.name, &to.members, "id"},
		{from.rooms.name, &to.rooms, "id"},
		{roomTable.name, &roomTable, "room"},
		{memberTable.name, &memberTable, "room, username, domain"},
		{cursorTable.name, &cursorTable, "room, username, domain"},
	} {
		text := "SELECT " + strings.Join(t.to.names(), ", ") + " FROM " + t.from + " ORDER BY " + t.order
		err := c.copyRows(ctx, t.to, text, func(rows [][]any) {
			if t.to == &to.members {
				c.done(len(rows))
			}
		})
		if err != nil {
			return fmt.Errorf("table %s: %w", t.from, err)
		}
	}
	return nil
}

// roomLog copies the logs of rooms. Seq stays the same, because the cursors refer to it.
func (c *copier) roomLog(ctx context.Context) error {
	after, err := c.last(ctx, "seq", "silod_room_log")
	if err != nil {
		return err
	}
	if after > 0 {
		n, err := c.from.reader.ints(ctx, "SELECT COUNT(*) FROM silod_room_log WHERE seq <= $1", after)
		if err != nil {
			return err
		}
		c.done(int(n[0]))
	}
	numbered := logTable // but with Seq as its key
	numbered.keys, numbered.serial = 1, ""
	numbered.fields = append([]field{{name: "seq", kind: kindInt}}, logTable.fields...)
	text := "SELECT " + strings.Join(numbered.names(), ", ") + " FROM silod_room_log WHERE seq > $1 ORDER BY seq"
	return c.copyRows(ctx, &numbered, text, func(rows [][]any) { c.done(len(rows)) }, after)
}

// copySide copies a side table of the messages, which has the same name on both sides.
func (c *copier) copySide(ctx context.Context, t *table, order string) error {
	text := "SELECT " + strings.Join(t.names(), ", ") + " FROM " + t.name + " ORDER BY " + order
	return c.copyRows(ctx, t, text, func(rows [][]any) { c.done(len(rows)) })
}

// copyRows writes the rows that a SELECT of the fields of a table finds in the source, and calls
// done for those that were committed.
func (c *copier) copyRows(ctx context.Context, t *table, text string, done func([][]any), args ...any) error {
	rows, err := c.from.reader.query(ctx, text, args...)
	if err != nil {
		return busy(err)
	}
	defer rows.Close()
	var page [][]any
	flush := func() error {
		err := c.to.writer.step(ctx, len(page), func(s *session) error { return c.put(s, part{t, page}) })
		if err == nil {
			done(page)
		}
		page = nil
		return err
	}
	for rows.Next() {
		row, err := scanRow(rows, t.fields)
		if err != nil {
			return err
		}
		if page = append(page, row); len(page) == pageRows {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return busy(err)
	}
	return flush()
}

// scanRow reads a row with the values of fields.
func scanRow(r scanner, fields []field) ([]any, error) {
	row, into := make([]any, len(fields)), make([]any, len(fields))
	for i := range row {
		into[i] = &row[i]
	}
	if err := scan(r, into...); err != nil {
		return nil, fmt.Errorf("read row: %w", err)
	}
	for i, f := range fields {
		switch f.kind {
		case kindInt:
			row[i] = asInt(row[i])
		case kindBytes:
			row[i] = []byte(asText(row[i]))
		default:
			row[i] = asText(row[i])
		}
	}
	return row, nil
}
