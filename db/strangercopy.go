package db

import "context"

// strangers copies the charges of messages.
func (c *copier) strangers(ctx context.Context) error {
	after := int64(-1)
	for {
		rows, err := c.strangerPage(ctx, after)
		if err != nil || len(rows) == 0 {
			return busy(err)
		}
		c.to.layout.strangers.Store(true)
		if err := c.to.writer.step(ctx, len(rows), func(s *session) error { return c.put(s, part{&strangerTable, rows}) }); err != nil {
			return err
		}
		after = asInt(rows[len(rows)-1][0])
		c.done(len(rows))
	}
}

// strangerPage reads the next charges behind a message.
func (c *copier) strangerPage(ctx context.Context, after int64) ([][]any, error) {
	rows, err := c.from.reader.query(ctx, "SELECT silo_id, inc_time, source, bytes FROM silod_stranger WHERE silo_id > $1 "+
		"ORDER BY silo_id LIMIT $2", after, pageRows)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out [][]any
	for rows.Next() {
		var id, inc, bytes int64
		var source string
		if err := rows.Scan(&id, &inc, &source, &bytes); err != nil {
			return nil, err
		}
		out = append(out, []any{id, inc, source, bytes})
	}
	return out, rows.Err()
}
