package db

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"silod/silo"
	"silod/sip"
)

// messageBytes returns the SQL of the size of a message, as silo.Size counts it. It needs
// joinMeta.
func (l *layout) messageBytes() string {
	n := l.messages.names
	columns := []string{"s." + n.Body, "s." + n.From, "s." + n.To, "m.headers"}
	if l.messages.headers {
		columns = append(columns, "s."+n.Headers)
	}
	terms := []string{strconv.Itoa(silo.Overhead)}
	for _, c := range columns {
		terms = append(terms, "COALESCE(LENGTH("+c+"), 0)")
	}
	return strings.Join(terms, " + ")
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
	names, err := st.spellings.soon(ctx, owner)
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

// Limits of UsageBySender.
const (
	usageRows      = 5000    // in a page
	maxUsageCounts = 1 << 16 // senders that are counted at the same time
)

// UsageBySender implements silo.Mailbox. It reads the whole table, by pages.
func (st *messages) UsageBySender(ctx context.Context, least silo.Usage, f func(from string, u silo.Usage)) error {
	text := `SELECT x.sender, COUNT(*), SUM(x.size), MAX(x.id) FROM (
		SELECT s.{from} AS sender, ` + st.layout.messageBytes() + ` AS size, s.{id} AS id FROM {silo} s ` + joinMeta + `
		WHERE s.{id} > $1 ORDER BY s.{id} LIMIT $2) x GROUP BY x.sender`
	counts := senderCounts{of: map[string]silo.Usage{}}
	after := int64(0)
	err := st.turn.slowly(ctx, func() (bool, error) {
		read := counts.rows
		err := st.countSenders(ctx, &counts, &after, text)
		return counts.rows-read == usageRows, err
	})
	if err != nil {
		return fmt.Errorf("count messages of senders: %w", err)
	}
	for from, u := range counts.of {
		if u.Messages >= least.Messages || u.Bytes >= least.Bytes {
			f(from, u)
		}
	}
	return nil
}

// countSenders counts a page behind an ID, and sets after to its last ID.
func (st *messages) countSenders(ctx context.Context, counts *senderCounts, after *int64, text string) error {
	rows, err := st.reader.query(ctx, text, *after, usageRows)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var from string
		var u silo.Usage
		var id int64
		if err := scan(rows, &from, &u.Messages, &u.Bytes, &id); err != nil {
			return err
		}
		counts.add(from, u)
		*after = max(*after, id)
	}
	return rows.Err()
}

// senderCounts are the usages of senders in the rows that were read.
type senderCounts struct {
	of   map[string]silo.Usage
	rows int64
}

// add counts a usage. If there are too many senders, those with few messages are forgotten, at
// least half of them: more cannot have twice the average.
func (c *senderCounts) add(from string, u silo.Usage) {
	sum := c.of[from]
	c.of[from] = silo.Usage{Messages: sum.Messages + u.Messages, Bytes: sum.Bytes + u.Bytes}
	c.rows += u.Messages
	if len(c.of) > maxUsageCounts {
		few := 2 * c.rows / maxUsageCounts
		maps.DeleteFunc(c.of, func(_ string, u silo.Usage) bool { return u.Messages <= few })
	}
}
