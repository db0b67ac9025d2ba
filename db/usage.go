package db

import (
	"context"
	"fmt"

	"silod/silo"
	"silod/sip"
)

// messageBytes returns the SQL of the size of a message, as silo.Size counts it. It needs
// joinMeta.
func (l *layout) messageBytes() string {
	n := l.messages.names
	sum := fmt.Sprintf("%d + LENGTH(s.%s) + LENGTH(s.%s) + LENGTH(s.%s)", silo.Overhead, n.Body, n.From, n.To)
	if l.messages.headers {
		sum += " + COALESCE(LENGTH(s." + n.Headers + "), 0)"
	}
	return sum + " + COALESCE(LENGTH(m.headers), 0)"
}

// Usage implements silo.Mailbox.
func (st *messages) Usage(ctx context.Context, owner sip.AoR, from string, reminders bool) (silo.Usage, error) {
	where, more := `WHERE {owner:1}`, []any(nil)
	if reminders {
		where += ` AND s.{snd} > 0`
	} else {
		where += ` AND s.{snd} = 0`
		if st.hasCopies.Load() {
			where += ` AND NOT ` + hasCopy
		}
	}
	if from != "" {
		where += ` AND s.{from} = $3`
		more = append(more, from)
	}
	text := `SELECT COUNT(*), COALESCE(SUM(` + st.layout.messageBytes() + `), 0) FROM {silo} s ` + joinMeta + where
	names, err := st.spellings.of(ctx, owner)
	if err != nil {
		return silo.Usage{}, fmt.Errorf("count messages: %w", err)
	}
	var sum silo.Usage
	for _, name := range names {
		n, err := st.reader.ints(ctx, text, append([]any{name.user, name.domain}, more...)...)
		if err != nil {
			return silo.Usage{}, fmt.Errorf("count messages: %w", err)
		}
		sum.Messages += n[0]
		sum.Bytes += n[1]
	}
	return sum, nil
}

// UsageBySender implements silo.Mailbox. It reads the whole table.
func (st *messages) UsageBySender(ctx context.Context, least silo.Usage, f func(from string, u silo.Usage)) error {
	size := st.layout.messageBytes()
	rows, err := st.reader.query(ctx, `SELECT s.{from}, COUNT(*), SUM(`+size+`) FROM {silo} s `+joinMeta+
		`GROUP BY s.{from} HAVING COUNT(*) >= $1 OR SUM(`+size+`) >= $2`, least.Messages, least.Bytes)
	if err != nil {
		return fmt.Errorf("count messages of senders: %w", busy(err))
	}
	defer rows.Close()
	for rows.Next() {
		var from string
		var u silo.Usage
		if err := rows.Scan(&from, &u.Messages, &u.Bytes); err != nil {
			return fmt.Errorf("count messages of senders: %w", err)
		}
		f(from, u)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("count messages of senders: %w", busy(err))
	}
	return nil
}
