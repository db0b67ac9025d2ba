package db

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"silod/imc"
	"silod/sip"
)

// logTable is the log of all rooms. head has the whole header block, as lines.
var logTable = table{name: "silod_room_log", serial: "seq", fields: []field{
	{name: "room"},
	{name: "from_user"},
	{name: "from_domain"},
	{name: "at", kind: kindInt},
	{name: "head", kind: kindBytes},
	{name: "body", kind: kindBytes},
}}

const selectEntry = `SELECT seq, from_user, from_domain, at, head, body FROM silod_room_log `

// Append implements imc.Store. Entries share the transactions of messages, and one costs as
// much as a message, whatever the number of members.
func (st *rooms) Append(ctx context.Context, e *imc.Entry, queued func()) error {
	row, err := newEntryRow(e)
	if err != nil {
		return fmt.Errorf("append to room log: %w", err)
	}
	o := &op{join: func(p *plan) { p.entries = append(p.entries, row) }, rows: 1, bytes: row.bytes, queued: queued}
	if err := st.writer.do(ctx, o); err != nil {
		e.Seq = 0
		return fmt.Errorf("append to room log: %w", err)
	}
	return nil
}

// An entryRow is an entry of a room's log in the form of logTable.
type entryRow struct {
	e      *imc.Entry
	values []any // in the order of logTable
	bytes  int   // its size, roughly
}

// newEntryRow builds the row of an entry. It returns errInvalid where the log cannot hold
// the entry.
func newEntryRow(e *imc.Entry) (*entryRow, error) {
	room := e.Room.String()
	if !fits(ownName, room) || !fits(ownName, e.From.User) || !fits(ownName, e.From.Domain) {
		return nil, fmt.Errorf("%w: the name of room %s or user %s is too long", errInvalid, e.Room, e.From)
	}
	head, err := encodeBlock(&e.Message, columnValues{})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInvalid, err)
	}
	return &entryRow{
		e:      e,
		values: []any{room, e.From.User, e.From.Domain, millis(e.At), []byte(head), nonNil(e.Body)},
		bytes:  len(e.Body) + len(head) + 500,
	}, nil
}

// appendEntries writes new entries and sets their Seq.
func appendEntries(s *session, entries []*entryRow) error {
	if len(entries) == 0 {
		return nil
	}
	rows := make([][]any, len(entries))
	for i, r := range entries {
		rows[i] = r.values
	}
	seqs, err := s.insert(&logTable, rows)
	if err != nil {
		return fmt.Errorf("append to room logs: %w", err)
	}
	for i, r := range entries {
		r.e.Seq = seqs[i]
	}
	return nil
}

// Log implements imc.Store.
func (st *rooms) Log(ctx context.Context, room sip.AoR, after int64, limit int) ([]imc.Entry, error) {
	return st.entries(ctx, room, selectEntry+`WHERE room = $1 AND seq > $2 ORDER BY seq LIMIT $3`, room.String(), after, limit)
}

// Recent implements imc.Store. It reads the index backwards and reverses the result.
func (st *rooms) Recent(ctx context.Context, room sip.AoR, since time.Time, limit int) ([]imc.Entry, error) {
	es, err := st.entries(ctx, room, selectEntry+`WHERE room = $1 AND at >= $2 ORDER BY seq DESC LIMIT $3`,
		room.String(), millis(since), limit)
	slices.Reverse(es)
	return es, err
}

// entries returns the entries of a room that a SELECT finds.
func (st *rooms) entries(ctx context.Context, room sip.AoR, text string, args ...any) ([]imc.Entry, error) {
	rows, err := st.reader.query(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("read room log: %w", busy(err))
	}
	defer rows.Close()
	var out []imc.Entry
	for rows.Next() {
		e := imc.Entry{Room: room}
		if err := scanEntry(rows, &e, st.layout); err != nil {
			return nil, err
		}
		if st.writer.hidesEntry(e.Seq) {
			continue
		}
		out = append(out, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read room log: %w", busy(err))
	}
	return out, nil
}

// scanEntry reads a row of selectEntry. It takes values of any type, so that no row of another
// program keeps a room from being loaded. An entry without a sender is the room's.
func scanEntry(rows *sql.Rows, e *imc.Entry, l *layout) error {
	var user, domain, at, head, body any
	if err := rows.Scan(&e.Seq, &user, &domain, &at, &head, &body); err != nil {
		return fmt.Errorf("read room log: %w", err)
	}
	e.From, e.At = e.Room, fromMillis(asInt(at))
	if n := (rowName{asText(user), asText(domain)}); n.user != "" {
		e.From = l.aor(n)
	}
	e.Message = withBody(decodeBlock(asText(head), columnValues{}, true), []byte(asText(body)))
	return nil
}

// SaveCursors implements imc.Store.
func (st *rooms) SaveCursors(ctx context.Context, cs []imc.Cursor) error {
	if len(cs) == 0 {
		return nil
	}
	o := &op{join: func(p *plan) { p.cursors = append(p.cursors, cs...) }, rows: len(cs), bytes: 100 * len(cs)}
	if err := st.writer.do(ctx, o); err != nil {
		return fmt.Errorf("save cursors: %w", err)
	}
	return nil
}

// saveCursors moves cursors forward, each user's to its highest value. A cursor that is
// saved after the end of a membership does no harm: Load skips it, and when the user joins
// again, the new cursor is higher.
func saveCursors(s *session, cs []imc.Cursor) error {
	if len(cs) == 0 {
		return nil
	}
	type key struct{ room, user sip.AoR }
	last := map[key]imc.Cursor{}
	for _, c := range cs {
		old := last[key{c.Room, c.User}]
		c.Seq = max(c.Seq, old.Seq)
		if old.Seen.After(c.Seen) {
			c.Seen = old.Seen
		}
		last[key{c.Room, c.User}] = c
	}
	rows := make([][]any, 0, len(last))
	for _, c := range last {
		n := s.layout.member(c.User)
		rows = append(rows, []any{c.Room.String(), n.user, n.domain, c.Seq, millis(c.Seen)})
	}
	// One order everywhere, so that two nodes cannot deadlock.
	slices.SortFunc(rows, func(a, b []any) int {
		return slices.CompareFunc(a[:cursorTable.keys], b[:cursorTable.keys], func(x, y any) int {
			return strings.Compare(x.(string), y.(string))
		})
	})
	if err := s.upsert(&cursorTable, rows); err != nil {
		return fmt.Errorf("save cursors: %w", err)
	}
	return nil
}

// Purge implements imc.Store. It may find the entries before the transaction that deletes
// them: an entry that was delivered to all members stays delivered to all members.
func (st *rooms) Purge(ctx context.Context, before time.Time, deliveredOnly bool, limit int) (int, error) {
	seqs, err := st.purgeable(ctx, before, deliveredOnly, min(limit, pageRows))
	if err != nil || len(seqs) == 0 {
		return 0, err
	}
	var n int64
	err = st.writer.step(ctx, len(seqs), func(s *session) (err error) {
		n, err = s.deleteAll("silod_room_log", "seq", anys(seqs))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("purge room logs: %w", err)
	}
	return int(n), nil
}

// purgeable returns the Seq of entries to delete. An entry was delivered to all members if
// it is not above the lowest cursor of its room; in a room without members every entry was.
// Invited users and members that Kamailio has marked as deleted (flags 4 and 8) receive no
// entries and do not count.
func (st *rooms) purgeable(ctx context.Context, before time.Time, deliveredOnly bool, limit int) ([]int64, error) {
	if !deliveredOnly {
		seqs, err := st.reader.ints(ctx, `SELECT seq FROM silod_room_log WHERE at < $1 ORDER BY at LIMIT $2`, millis(before), limit)
		if err != nil {
			return nil, fmt.Errorf("purge room logs: %w", err)
		}
		return seqs, nil
	}
	rooms, err := st.oldRooms(ctx, before)
	if err != nil {
		return nil, fmt.Errorf("purge room logs: %w", err)
	}
	var out []int64
	for _, room := range rooms {
		floor, err := st.reader.ints(ctx, `SELECT COALESCE(MIN(COALESCE(c.seq, 0)), $1) FROM {members} m
			LEFT JOIN silod_cursor c ON c.room = $2 AND c.username = m.username AND c.domain = m.domain
			WHERE m.room = $2 AND m.flag & 12 = 0`, int64(math.MaxInt64), room)
		if err != nil {
			return nil, fmt.Errorf("purge room logs: %w", err)
		}
		seqs, err := st.reader.ints(ctx, `SELECT seq FROM silod_room_log WHERE room = $1 AND seq <= $2 AND at < $3 ORDER BY seq LIMIT $4`,
			room, floor[0], millis(before), limit-len(out))
		if err != nil {
			return nil, fmt.Errorf("purge room logs: %w", err)
		}
		if out = append(out, seqs...); len(out) >= limit {
			break
		}
	}
	return out, nil
}

// oldRooms returns the rooms with entries older than before.
func (st *rooms) oldRooms(ctx context.Context, before time.Time) ([]string, error) {
	rows, err := st.reader.query(ctx, `SELECT DISTINCT room FROM silod_room_log WHERE at < $1`, millis(before))
	if err != nil {
		return nil, busy(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var room string
		if err := rows.Scan(&room); err != nil {
			return nil, err
		}
		out = append(out, room)
	}
	return out, busy(rows.Err())
}
