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

// The columns of an entry and of its position.
const (
	entryColumns    = "seq, from_user, from_domain, at, head, body"
	positionColumns = "seq, room, at"
)

// ofRoom returns the SELECT of columns of at most $4 entries of room $1 between the Seqs $2 and
// $3, in ascending or descending order.
func (st *rooms) ofRoom(columns, order string) string {
	return "SELECT " + columns + " " + fmt.Sprintf(st.layout.fragments.roomLog, order) + " LIMIT $4"
}

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
	return st.entries(ctx, room, "ASC", after, math.MaxInt64, limit)
}

// Limits of Recent: the number of entries of its first and of its largest SELECT, and the size
// from which it reads no further.
const (
	recentFirst = 32
	recentMax   = 128
	recentBytes = 4 << 20
)

// Recent implements imc.Store. It reads the index backwards, in growing pages, up to the first
// page that reaches back before since: the entries of a room are nearly in the order of time. A
// condition on the time would make the engine read the whole log of a quiet room.
func (st *rooms) Recent(ctx context.Context, room sip.AoR, after int64, since time.Time, limit int) ([]imc.Entry, error) {
	since = since.Truncate(time.Millisecond)
	var out []imc.Entry
	before, size, page := int64(math.MaxInt64), 0, recentFirst
	for len(out) < limit && size < recentBytes {
		n := min(limit-len(out), page)
		es, err := st.entries(ctx, room, "DESC", after, before, n)
		if err != nil {
			return nil, err
		}
		out = append(out, es...)
		if len(es) < n || es[n-1].At.Before(since) {
			break
		}
		for i := range es {
			size += len(es[i].Body)
		}
		before, page = es[n-1].Seq, min(2*page, recentMax)
	}
	for len(out) > 0 && out[len(out)-1].At.Before(since) {
		out = out[:len(out)-1]
	}
	slices.Reverse(out)
	return out, nil
}

// Seqs implements imc.Store. It reads nothing but the index.
func (st *rooms) Seqs(ctx context.Context, room sip.AoR, after int64, limit int) ([]int64, error) {
	return limited(ctx, st, func() ([]int64, error) {
		var seqs []int64
		err := st.each(ctx, st.ofRoom("seq", "DESC"), func(scan func(...any) error) error {
			var seq int64
			if err := scan(&seq); err != nil {
				return err
			}
			seqs = append(seqs, seq)
			return nil
		}, func(error) {}, room.String(), after, int64(math.MaxInt64), limit)
		if err != nil {
			return nil, fmt.Errorf("read room log: %w", busy(err))
		}
		return seqs, nil
	})
}

// roomReads is the number of reads of logs at a time: fewer than the connections for reading,
// which deliver messages, too.
const roomReads = readerConns / 2

// limited runs a read of logs when fewer than roomReads are under way, and returns when it ends or
// ctx does: a driver may need longer to leave a server that hangs, and the read counts until then.
// Its error is errBusy where ctx has ended.
func limited[T any](ctx context.Context, st *rooms, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	select {
	case st.slots <- struct{}{}:
		go func() {
			defer func() { <-st.slots }()
			v, err := read()
			done <- result{v, err}
		}()
	case <-ctx.Done():
	}
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, fmt.Errorf("read room log: %w: %w", errBusy, ctx.Err())
	}
}

// entries returns the entries of a room as ofRoom finds them.
func (st *rooms) entries(ctx context.Context, room sip.AoR, order string, after, before int64, limit int) ([]imc.Entry, error) {
	return limited(ctx, st, func() ([]imc.Entry, error) { return st.readEntries(ctx, room, order, after, before, limit) })
}

func (st *rooms) readEntries(ctx context.Context, room sip.AoR, order string, after, before int64, limit int) ([]imc.Entry, error) {
	rows, err := st.reader.query(ctx, st.ofRoom(entryColumns, order), room.String(), after, before, limit)
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
	if err := scan(rows, &e.Seq, &user, &domain, &at, &head, &body); err != nil {
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
	if err := s.upsert(&movedTable, rows); err != nil {
		return fmt.Errorf("save cursors: %w", err)
	}
	return nil
}
