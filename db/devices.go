package db

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"silod/silo"
)

// silod_device has a row, a mark, for each device that has refused a message permanently, and,
// where msilo delivers a copy to every device, for each one that has received its copy. The
// table is usually empty, and messages.hasCopies keeps statements from using an empty table.

// Fragments of statements about the marks of a message s. Only delivered copies count as
// copies.
const (
	fromDevice  = `FROM silod_device c WHERE c.silo_id = s.{id} AND c.inc_time = s.{inc}`
	countCopies = `(SELECT COUNT(*) ` + fromDevice + ` AND c.refused = '')`
	isMarked    = `CASE WHEN (SELECT COUNT(*) ` + fromDevice + `) > 0 THEN 1 ELSE 0 END` // EXISTS: PostgreSQL reads the whole table
	hasCopy     = `EXISTS (SELECT 1 ` + fromDevice + ` AND c.refused = '')`

	// waitingOrMarked excludes messages that were set aside for another reason than the
	// refusals of devices.
	waitingOrMarked = `(t.silo_id IS NULL OR ` + isMarked + ` <> 0)` // "= 1": PostgreSQL expects few rows and sorts all
)

// deviceTable has the marks.
var deviceTable = table{name: "silod_device", keys: 2, fields: []field{
	{name: "silo_id", kind: kindInt},
	{name: "device"},
	{name: "inc_time", kind: kindInt},
	{name: "refused"},
	{name: "at", kind: kindInt},
}}

// findCopies finds out whether silod_device has rows.
func (st *messages) findCopies(ctx context.Context) error {
	n, err := scanInts(st.reader.pool.QueryContext(ctx, "SELECT 1 FROM silod_device LIMIT 1"))
	if err != nil {
		return fmt.Errorf("inspect table silod_device: %w", err)
	}
	st.hasCopies.Store(len(n) > 0)
	return nil
}

// HasMarks implements silo.Mailbox.
func (st *messages) HasMarks() bool { return st.hasCopies.Load() }

// nextFor is Next for the devices with these names. A message is wanted by a device that has
// no mark of it.
func (st *messages) nextFor(
	ctx context.Context, owner rowName, devices []string, after int64, limit int, now time.Time,
) ([]silo.Message, error) {
	keys := make([]any, len(devices))
	for i, name := range devices {
		keys[i] = deviceKey(name)
	}
	cond, list := st.layout.dialect.list("c.device", 7, keys)
	return st.read(ctx, selectMarked+`WHERE {owner:2} AND s.{snd} = 0 AND s.{id} > $4 AND `+alive+
		` AND (SELECT COUNT(*) `+fromDevice+` AND `+cond+`) < $6 AND `+waitingOrMarked+` ORDER BY s.{id} LIMIT $5`,
		append([]any{now.Unix(), owner.user, owner.domain, after, limit, len(keys)}, list...)...)
}

// ReadMarks implements silo.Mailbox.
func (st *messages) ReadMarks(ctx context.Context, ms []silo.Message, devices []string) error {
	byID := map[int64]*silo.Message{}
	var ids []any
	for i := range ms {
		if ms[i].Marked {
			byID[ms[i].ID] = &ms[i]
			ids = append(ids, ms[i].ID)
		}
	}
	if ids == nil {
		return nil
	}
	names := map[string]string{}
	for _, name := range devices {
		names[deviceKey(name)] = name
	}
	cond, args := st.layout.dialect.list("silo_id", 1, ids)
	rows, err := st.reader.query(ctx, `SELECT silo_id, inc_time, device, refused, at FROM silod_device WHERE `+cond, args...)
	if err != nil {
		return fmt.Errorf("read marks of messages: %w", busy(err))
	}
	defer rows.Close()
	for rows.Next() {
		var id, inc, at int64
		var c silo.Copy
		if err := scan(rows, &id, &inc, &c.Device, &c.Refused, &at); err != nil {
			return fmt.Errorf("read marks of messages: %w", err)
		}
		if name, ok := names[c.Device]; ok {
			c.Device = name
		}
		c.At = fromUnix(at)
		if m := byID[id]; m.Stored.Equal(fromUnix(inc)) {
			m.Marks = append(m.Marks, c)
		}
	}
	return rows.Err()
}

// Mark implements silo.Mailbox. It sets hasCopies before it queues the write: a deletion that
// is queued behind it deletes the marks too.
func (st *messages) Mark(id int64, marks []silo.Copy, done func(error)) {
	st.hasCopies.Store(true)
	write := func(s *session) error {
		inc, err := s.storedAt(id)
		if err != nil || len(inc) == 0 { // the message was deleted meanwhile
			return err
		}
		return s.upsert(&deviceTable, markRows(id, inc[0], s.now, marks))
	}
	st.writer.send(newStep(len(marks), write), func(err error) {
		if err != nil {
			err = fmt.Errorf("mark message: %w", err)
		}
		done(err)
	})
}

// markRows returns the rows of the marks of a message. A mark without a time is from now. Of
// several marks of one device the last one counts.
func markRows(id, inc, now int64, marks []silo.Copy) [][]any {
	rows := make([][]any, 0, len(marks))
	for i, c := range marks {
		key, at := deviceKey(c.Device), now
		if slices.ContainsFunc(marks[i+1:], func(o silo.Copy) bool { return deviceKey(o.Device) == key }) {
			continue
		}
		if !c.At.IsZero() {
			at = unix(c.At)
		}
		rows = append(rows, []any{id, key, inc, reasonText(c.Refused), at})
	}
	return rows
}

// Marks implements silo.Archive.
func (st *messages) Marks(ctx context.Context, id int64) ([]silo.Copy, error) {
	if !st.hasCopies.Load() {
		return nil, nil
	}
	rows, err := st.reader.query(ctx, `SELECT c.device, c.refused, c.at FROM silod_device c JOIN {silo} s
		ON s.{id} = c.silo_id AND s.{inc} = c.inc_time WHERE c.silo_id = $1 ORDER BY c.device`, id)
	if err != nil {
		return nil, fmt.Errorf("read marks of message: %w", busy(err))
	}
	defer rows.Close()
	var list []silo.Copy
	for rows.Next() {
		var c silo.Copy
		var at int64
		if err := scan(rows, &c.Device, &c.Refused, &at); err != nil {
			return nil, fmt.Errorf("read marks of message: %w", err)
		}
		c.At = fromUnix(at)
		list = append(list, c)
	}
	return list, rows.Err()
}

// deviceKey returns the name of a device, or its hash where the column cannot hold the name.
func deviceKey(name string) string {
	if len(name) <= 255 && utf8.ValidString(name) && strings.IndexByte(name, 0) < 0 {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// reasonText returns a reason without the characters that a column of 255 characters cannot
// hold.
func reasonText(reason string) string {
	reason = strings.ToValidUTF8(strings.ReplaceAll(reason, "\x00", ""), "?")
	if r := []rune(reason); len(r) > 255 {
		reason = string(r[:255])
	}
	return reason
}
