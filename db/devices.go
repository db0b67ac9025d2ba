package db

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"silod/silo"
	"silod/sip"
)

// silod_device has a row, a mark, for each device that has received its copy of a message or
// has refused it permanently. The table is empty unless msilo delivers a copy to every
// device, and messages.hasCopies keeps statements from using an empty table.

// Fragments of statements about the marks of a message s. Only delivered copies count as
// copies.
const (
	fromDevice  = `FROM silod_device c WHERE c.silo_id = s.{id} AND c.inc_time = s.{inc}`
	countCopies = `(SELECT COUNT(*) ` + fromDevice + ` AND c.refused = '')`
	isMarked    = `CASE WHEN (SELECT COUNT(*) ` + fromDevice + `) > 0 THEN 1 ELSE 0 END` // EXISTS: PostgreSQL reads the whole table
	hasCopy     = `EXISTS (SELECT 1 ` + fromDevice + ` AND c.refused = '')`
)

// deviceTable has the marks.
var deviceTable = table{name: "silod_device", keys: 2, fields: []field{
	{name: "silo_id", kind: kindInt}, {name: "device"}, {name: "inc_time", kind: kindInt}, {name: "refused"},
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

// NextFor implements silo.Mailbox.
func (st *messages) NextFor(
	ctx context.Context, owner sip.AoR, device string, after int64, limit int, now time.Time,
) ([]silo.Message, error) {
	return st.read(ctx, selectMessage+`WHERE {owner:2} AND s.{snd} = 0 AND s.{id} > $4 AND `+alive+
		` AND t.silo_id IS NULL AND NOT EXISTS (SELECT 1 `+fromDevice+` AND c.device = $6) ORDER BY s.{id} LIMIT $5`,
		now.Unix(), owner.User, owner.Domain, after, limit, deviceKey(device))
}

// Mark implements silo.Mailbox. It sets hasCopies before it queues the write: a deletion that
// is queued behind it deletes the mark too.
func (st *messages) Mark(id int64, device, refused string, done func(error)) {
	key, refused := deviceKey(device), reasonText(refused)
	st.hasCopies.Store(true)
	write := func(s *session) error {
		inc, err := s.ints(`SELECT {inc} FROM {silo} WHERE {id} = $1`, id)
		if err != nil || len(inc) == 0 { // the message was deleted meanwhile
			return err
		}
		return s.upsert(&deviceTable, [][]any{{id, key, inc[0], refused}})
	}
	st.writer.send(newStep(1, write), func(err error) {
		if err != nil {
			err = fmt.Errorf("mark message: %w", err)
		}
		done(err)
	})
}

// Marks implements silo.Archive.
func (st *messages) Marks(ctx context.Context, id int64) ([]silo.Copy, error) {
	if !st.hasCopies.Load() {
		return nil, nil
	}
	rows, err := st.reader.query(ctx, `SELECT c.device, c.refused FROM silod_device c JOIN {silo} s
		ON s.{id} = c.silo_id AND s.{inc} = c.inc_time WHERE c.silo_id = $1 ORDER BY c.device`, id)
	if err != nil {
		return nil, fmt.Errorf("read marks of message: %w", busy(err))
	}
	defer rows.Close()
	var list []silo.Copy
	for rows.Next() {
		var c silo.Copy
		if err := rows.Scan(&c.Device, &c.Refused); err != nil {
			return nil, fmt.Errorf("read marks of message: %w", err)
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

// Release implements silo.Reminders.
func (st *messages) Release(ctx context.Context, id int64, m *silo.Message) (bool, error) {
	row, err := st.layout.messageRow(m, st.now())
	if err != nil {
		return false, fmt.Errorf("release reminder: %w", err)
	}
	var found bool
	err = st.writer.step(ctx, 1, func(s *session) error {
		n, err := deleteMessages(s, []any{id}, st.hasCopies.Load())
		if found = n > 0; err != nil || !found {
			return err
		}
		return insertMessages(s, []*messageRow{row})
	})
	if err != nil {
		return false, fmt.Errorf("release reminder: %w", err)
	}
	return found, nil
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
