package db

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"silod/silo"
)

// purgeRows is the number of messages that a transaction of Purge or Tidy deletes: no
// message can be stored while the writer works.
const purgeRows = 100

// A found is a message that is to be deleted, with the columns that distinguish it from a later
// message with the same ID, which may have been stored in the same second. Without an owner only
// the time distinguishes it.
type found struct {
	id, stored int64
	owner      rowName
	from       string // its key
}

// selectFound begins a SELECT of founds.
const selectFound = `SELECT s.{id}, s.{inc}, s.{user}, s.{host}, {fromkey}, CASE WHEN t.silo_id IS NULL THEN 0 ELSE 1 END`

// eachFound calls f for the messages that a SELECT finds, and reports those that are set aside.
func eachFound(rows *sql.Rows, err error, f func(m found, stuck bool)) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var m found
		var stuck bool
		if err := scan(rows, &m.id, &m.stored, &m.owner.user, &m.owner.domain, &m.from, &stuck); err != nil {
			return err
		}
		f(m, stuck)
	}
	return rows.Err()
}

// Purge implements silo.Archive. The reader searches. The writer deletes the messages by their
// IDs, unless they have been requeued meanwhile.
func (st *messages) Purge(ctx context.Context, q silo.Query, limit int) (int, error) {
	if q.Copied && !st.hasCopies.Load() {
		return 0, nil
	}
	if q.Limit > 0 {
		limit = min(limit, q.Limit)
	}
	w, err := st.walk(ctx, q)
	if err != nil {
		return 0, fmt.Errorf("purge messages: %w", busy(err))
	}
	deleted := 0
	part := func() (bool, error) {
		if w.after >= w.last {
			if more, err := w.next(ctx); err != nil || !more {
				return false, err
			}
		}
		list, err := w.candidates(ctx, min(limit-deleted, purgeRows))
		if err != nil {
			return false, err
		}
		gone, err := st.deleteFound(ctx, st.writer.step, list, q.Stuck)
		deleted += len(gone)
		return err == nil && w.goOn() && deleted < limit, err
	}
	if err = st.turn.slowly(ctx, part); err != nil {
		return deleted, fmt.Errorf("purge messages: %w", err)
	}
	return deleted, nil
}

// candidates returns the first messages of the query in the span, and begins the span behind them.
func (w *walk) candidates(ctx context.Context, limit int) ([]found, error) {
	var list []found
	for i := range w.routes {
		if w.after >= w.last {
			break
		}
		where, args := w.where(&w.routes[i], "")
		args = append(args, limit)
		rows, err := w.messages.reader.query(ctx, selectFound+where+fmt.Sprintf(` ORDER BY s.{id} LIMIT $%d`, len(args)), args...)
		if err := eachFound(rows, err, func(m found, _ bool) { list = append(list, m) }); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(list, func(a, b found) int { return cmp.Compare(a.id, b.id) })
	if list = list[:min(len(list), limit)]; len(list) == limit {
		w.after = list[limit-1].id
	} else {
		w.after = w.last
	}
	return slices.Compact(list), nil // a message may have several copies
}

// deleteFound deletes those of the messages that are still stored, and set aside where that is
// asked for, and returns their IDs. run is a method of the writer.
func (st *messages) deleteFound(
	ctx context.Context, run func(context.Context, int, func(*session) error) error, list []found, stuck bool,
) (gone []any, err error) {
	if len(list) == 0 {
		return nil, nil
	}
	ids, wanted := make([]any, len(list)), make(map[found]bool, len(list))
	for i, m := range list {
		ids[i], wanted[m] = m.id, true
	}
	err = run(ctx, len(ids), func(s *session) error {
		cond, args := s.layout.dialect.list(`s.{id}`, 1, ids)
		gone = gone[:0]
		rows, err := s.query(selectFound+` FROM {silo} s `+joinStuck+`WHERE `+cond+` {lock}`, args...)
		err = eachFound(rows, err, func(m found, isStuck bool) {
			if (wanted[m] || wanted[found{id: m.id, stored: m.stored}]) && (!stuck || isStuck) {
				gone = append(gone, m.id)
			}
		})
		if err != nil {
			return err
		}
		return deleteMessages(s, gone, st.hasCopies.Load())
	})
	if err != nil {
		return nil, err
	}
	return gone, nil
}

// Expire implements silo.Archive. In doubt it waits: some senders are told that their messages have
// expired, when they are deleted.
func (st *messages) Expire(ctx context.Context, now time.Time, limit int) ([]silo.Message, error) {
	out, err := st.read(ctx, selectCounted+`WHERE s.{exp} > 0 AND s.{exp} <= $1 ORDER BY s.{exp} LIMIT $2`,
		now.Unix(), min(limit, pageRows))
	if err != nil {
		return nil, fmt.Errorf("expire messages: %w", err)
	}
	list := make([]found, len(out))
	for i := range out {
		list[i] = found{id: out[i].ID, stored: unix(out[i].Stored)}
	}
	gone, err := st.deleteFound(ctx, st.writer.surely, list, false)
	if err != nil {
		return nil, fmt.Errorf("expire messages: %w", err)
	}
	return slices.DeleteFunc(out, func(m silo.Message) bool { return !slices.Contains(gone, any(m.ID)) }), nil
}

// sideTables are silod's tables with rows that belong to messages, which another program may have
// deleted.
var sideTables = []string{"silod_meta", "silod_stuck", "silod_device", "silod_stranger"}

// Tidy implements silo.Archive. It counts messages. It searches with the reader, so that no
// write waits, and checks again before it deletes. It also has the names of owners read again.
func (st *messages) Tidy(ctx context.Context) (int, error) {
	if err := st.spellings.refresh(ctx, st.turn); err != nil {
		return 0, fmt.Errorf("read owners of messages: %w", busy(err))
	}
	deleted := 0
	for _, table := range sideTables {
		after := int64(0)
		err := st.turn.slowly(ctx, func() (bool, error) {
			n, more, err := st.tidy(ctx, table, &after)
			deleted += n
			return more, err
		})
		if err != nil {
			return deleted, fmt.Errorf("delete rows of deleted messages: %w", err)
		}
	}
	return deleted, nil
}

// tidy deletes some rows of a side table behind after.
func (st *messages) tidy(ctx context.Context, table string, after *int64) (n int, more bool, err error) {
	page, err := st.reader.ints(ctx, `SELECT COUNT(*), COALESCE(MAX(x.k), 0) FROM (
		SELECT d.silo_id AS k FROM `+table+` d WHERE d.silo_id > $1 ORDER BY d.silo_id LIMIT $2) x`, *after, st.slice)
	if err != nil || page[0] == 0 {
		return 0, false, err
	}
	ids, err := st.reader.ints(ctx, `SELECT DISTINCT d.silo_id FROM `+table+` d WHERE d.silo_id > $1 AND d.silo_id <= $2 AND
		(SELECT COUNT(*) FROM {silo} s WHERE s.{id} = d.silo_id AND s.{inc} = d.inc_time) = 0 ORDER BY d.silo_id LIMIT $3`,
		*after, page[1], purgeRows)
	if err != nil {
		return 0, false, err
	}
	if *after, more = page[1], page[0] == int64(st.slice); len(ids) == purgeRows {
		*after, more = ids[len(ids)-1], true
	}
	if len(ids) == 0 {
		return 0, more, nil
	}
	err = st.writer.step(ctx, len(ids), func(s *session) error {
		for _, id := range ids {
			err := s.exec(`DELETE FROM `+table+
				` WHERE silo_id = $1 AND inc_time NOT IN (SELECT s.{inc} FROM {silo} s WHERE s.{id} = $1)`, id)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return len(ids), more, err
}
