package db

import (
	"context"
	"fmt"
	"math"
	"time"

	"silod/imc"
	"silod/sip"
)

// Statements that delete entries and rooms step by step. Every SELECT takes rows in the order
// of an index, from where the one before has ended.

const selectPosition = `SELECT ` + positionColumns + ` FROM silod_room_log `

// Ends implements imc.Store.
func (st *rooms) Ends(ctx context.Context, f func(room sip.AoR, last int64)) error {
	err := st.each(ctx, `SELECT room, MAX(seq) FROM silod_room_log GROUP BY room`, func(scan func(...any) error) error {
		var uri, seq any
		if err := scan(&uri, &seq); err != nil {
			return err
		}
		if a, err := st.layout.roomOf(asText(uri)); err == nil {
			f(a, asInt(seq))
		}
		return nil
	}, func(error) {})
	if err != nil {
		return fmt.Errorf("read ends of room logs: %w", busy(err))
	}
	return nil
}

// Positions implements imc.Store.
func (st *rooms) Positions(ctx context.Context, room sip.AoR, after int64, limit int) ([]imc.Position, error) {
	if room.IsZero() {
		return st.positions(ctx, selectPosition+`WHERE seq > $1 ORDER BY seq LIMIT $2`, after, limit)
	}
	return st.positions(ctx, st.ofRoom(positionColumns, "ASC"), room.String(), after, int64(math.MaxInt64), limit)
}

// Oldest implements imc.Store.
func (st *rooms) Oldest(ctx context.Context, from, before time.Time, limit int) ([]imc.Position, error) {
	return st.positions(ctx, selectPosition+`WHERE at >= $1 AND at < $2 ORDER BY at LIMIT $3`, millis(from), millis(before), limit)
}

// LastBefore implements imc.Store.
func (st *rooms) LastBefore(ctx context.Context, before time.Time) (int64, error) {
	ps, err := st.positions(ctx, selectPosition+`WHERE at < $1 ORDER BY at DESC LIMIT 1`, millis(before))
	if err != nil || len(ps) == 0 {
		return 0, err
	}
	return ps[0].Seq, nil
}

// positions returns the positions that a SELECT finds.
func (st *rooms) positions(ctx context.Context, text string, args ...any) ([]imc.Position, error) {
	return limited(ctx, st, func() ([]imc.Position, error) { return st.readPositions(ctx, text, args...) })
}

func (st *rooms) readPositions(ctx context.Context, text string, args ...any) ([]imc.Position, error) {
	rooms := map[string]sip.AoR{}
	var out []imc.Position
	err := st.each(ctx, text, func(scan func(...any) error) error {
		var p imc.Position
		var uri, at any
		if err := scan(&p.Seq, &uri, &at); err != nil {
			return err
		}
		room := asText(uri)
		a, known := rooms[room]
		if !known {
			a, _ = st.layout.roomOf(room) // an entry of no room is deleted when it is old
			rooms[room] = a
		}
		p.Room, p.At = a, fromMillis(asInt(at))
		out = append(out, p)
		return nil
	}, func(error) {}, args...)
	if err != nil {
		return nil, fmt.Errorf("read room log: %w", busy(err))
	}
	return out, nil
}

// DeleteEntries implements imc.Store.
func (st *rooms) DeleteEntries(ctx context.Context, seqs []int64) error {
	err := st.writer.step(ctx, len(seqs), func(s *session) error {
		err := s.deleteAll("silod_room_log", "seq", anys(seqs))
		return err
	})
	if err != nil {
		return fmt.Errorf("delete room entries: %w", err)
	}
	return nil
}

// Erase implements imc.Store. The rows of imc_members are deleted last, and the room with the
// last of them: Kamailio stops loading at a room without members, and a member without a
// room would be one of the next room of the name.
func (st *rooms) Erase(ctx context.Context, room sip.AoR, limit int) (done bool, err error) {
	err = st.writer.step(ctx, limit, func(s *session) (err error) {
		done, err = eraseSome(s, room, limit)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("erase room %s: %w", room, err)
	}
	return done, nil
}

// eraseSome deletes rows of a room from one or more of its tables. It reports whether none is
// left.
func eraseSome(s *session, room sip.AoR, limit int) (done bool, err error) {
	uri := room.String()
	if err := s.byIndex(); err != nil {
		return false, err
	}
	for _, t := range []string{"silod_cursor", "silod_member"} {
		next, err := s.texts("SELECT username FROM "+t+" WHERE room = $1 ORDER BY username LIMIT 1 OFFSET $2", uri, limit-1)
		if err != nil {
			return false, err
		}
		if len(next) > 0 {
			err := s.exec("DELETE FROM "+t+" WHERE room = $1 AND username <= $2", uri, next[0])
			return false, err
		}
		if err := deleteOwnRows(s, t, uri); err != nil {
			return false, err
		}
	}
	ids, err := s.ints("SELECT id FROM {members} WHERE room = $1 LIMIT $2", uri, limit)
	if err != nil {
		return false, err
	}
	if err := s.deleteAll("{members}", "id", anys(ids)); err != nil || len(ids) == limit {
		return false, err
	}
	for _, t := range []string{"silod_cursor", "silod_room"} { // cursors that were saved since the first step
		if err := deleteOwnRows(s, t, uri); err != nil {
			return false, err
		}
	}
	return true, deleteRoom(s, rowName{room.User, room.Domain})
}

// byIndex makes the rest of the transaction find rows by an index, see fragments.useIndex.
func (s *session) byIndex() error {
	if hint := s.layout.fragments.useIndex; hint != "" {
		if _, err := s.raw(hint); err != nil {
			return err
		}
	}
	return nil
}
