// Package rows fills the tables of silod with the data of a large system that has run for
// years: messages in many mailboxes, the log of busy and of quiet rooms, and registrations
// that last. It knows the tables of SQLite and PostgreSQL, which silod has created before.
package rows

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Rows are the numbers of rows to add.
type Rows struct {
	Messages int // in mailboxes of 100, of a thousand senders, of the last 2 days
	Rooms    int // with two members each
	Entries  int // of room logs: half of them in room chat-1, none of the last 4 hours
	Bindings int // over UDP, that expire in a month
}

// Of returns the rows of a system with so many messages: 1,000,000 entries of room logs and
// 500,000 bindings for 10,000,000 messages.
func Of(messages int) Rows {
	return Rows{Messages: messages, Rooms: messages / 100, Entries: messages / 10, Bindings: messages / 20}
}

// slice is the number of rows of a statement. One statement for all of them would need as much
// space again for the write-ahead log.
const slice = 500_000

// An engine has the expressions that differ.
type engine struct {
	driver string
	series string // a table s(n) of the numbers from %d to %d
	now    string // unix seconds
	month  string // the time in a month, as Kamailio writes it in location
	after  []string
}

var engines = []engine{
	{
		driver: "postgres", series: "WITH s(n) AS (SELECT * FROM generate_series(%d, %d)) ",
		now: "EXTRACT(EPOCH FROM now())::bigint", month: "(now() + interval '30 days')::timestamp",
		after: []string{"VACUUM ANALYZE", "CHECKPOINT"},
	},
	{
		driver: "sqlite", series: "WITH RECURSIVE s(n) AS (SELECT %d UNION ALL SELECT n+1 FROM s WHERE n < %d) ",
		now: "unixepoch()", month: "julianday('now', '30 days')",
		after: []string{"ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"},
	},
}

// Fill adds rows for users of a domain to the database that a driver opens under a name.
// No silod may use it meanwhile.
func (r Rows) Fill(ctx context.Context, driver, name, domain string) error {
	i := slices.IndexFunc(engines, func(e engine) bool { return e.driver == driver })
	if i < 0 {
		return fmt.Errorf("no rows for the driver %s", driver)
	}
	e := &engines[i]
	pool, err := sql.Open(driver, name)
	if err != nil {
		return err
	}
	defer pool.Close()
	fill := strings.NewReplacer("DOMAIN", domain, "NOW", e.now, "MONTH", e.month,
		"ROOMS", strconv.Itoa(max(r.Rooms, 1)), "ENTRIES", strconv.Itoa(max(r.Entries, 1)))
	for _, t := range r.inserts() {
		for first := 1; first <= t.rows; first += slice {
			text := fmt.Sprintf(e.series, first, min(t.rows, first+slice-1)) + fill.Replace(t.text)
			if _, err := pool.ExecContext(ctx, text); err != nil {
				return fmt.Errorf("fill a table: %w", err)
			}
		}
	}
	for _, text := range e.after {
		if _, err := pool.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return nil
}

// An insert adds one row for each number n of s.
type insert struct {
	rows int
	text string
}

func (r Rows) inserts() []insert {
	return []insert{
		{r.Messages, `INSERT INTO silo (src_addr, dst_addr, username, domain, inc_time, exp_time, snd_time, ctype, body, callid)
			SELECT 'sip:sender' || (n % 1000) || '@DOMAIN', 'sip:other' || (n / 100) || '@DOMAIN', 'other' || (n / 100), 'DOMAIN',
			NOW - 172800 + n % 172000, NOW + 86400 + n % 172800, 0, 'text/plain',
			'a message of the usual length, which is about a hundred bytes, so that rows are as large as they are',
			'call-' || n || '@DOMAIN' FROM s`},
		{r.Rooms, `INSERT INTO imc_rooms (name, domain, flag) SELECT 'chat-' || n, 'DOMAIN', 0 FROM s`},
		{2 * r.Rooms, `INSERT INTO imc_members (username, domain, room, flag)
			SELECT 'user' || (n % 5000), 'DOMAIN', 'sip:chat-' || ((n + 1) / 2) || '@DOMAIN', n % 2 FROM s`},
		{r.Entries, `INSERT INTO silod_room_log (room, from_user, from_domain, at, head, body)
			SELECT 'sip:chat-' || CASE WHEN n % 2 = 0 THEN 1 ELSE 1 + n % ROOMS END || '@DOMAIN', 'user1', 'DOMAIN',
			1000 * (NOW - 100000 + CAST(n AS BIGINT) * 80000 / ENTRIES), 'Content-Type: text/plain` + "\r\n" + `',
			'a word that a member has said in the room' FROM s`},
		{r.Bindings, `INSERT INTO location (ruid, username, domain, contact, expires, q, callid, cseq, last_modified, user_agent)
			SELECT 'bench-' || n, 'phone' || n, 'DOMAIN', 'sip:phone' || n || '@127.0.0.1:9', MONTH, -1.0,
			'call-' || n, 1, MONTH, 'bench' FROM s`},
	}
}
