package db

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"

	"silod/imc"
	"silod/sip"
)

// otherRows are the rows of a room that have its name, or that of a member, in another spelling
// than silod writes. Later changes would not hit them.
type otherRows struct {
	names   []rowName // in imc_rooms
	uris    []string  // of the room
	members []memberRow
}

// A memberRow is the key of a row of a member.
type memberRow struct {
	table, room string
	user        rowName
}

func (o *otherRows) empty() bool { return len(o.names)+len(o.uris)+len(o.members) == 0 }

// room adds a row with the URI of a room, unless it is in silod's spelling, and reports
// whether it is.
func (o *otherRows) room(uri string, a sip.AoR) bool {
	same := uri == a.String()
	if !same && !slices.Contains(o.uris, uri) {
		o.uris = append(o.uris, uri)
	}
	return same
}

// member adds the row of a member, unless it is in silod's spelling.
func (o *otherRows) member(table, uri string, room sip.AoR, user, own rowName) {
	if !o.room(uri, room) || user != own {
		o.members = append(o.members, memberRow{table, uri, user})
	}
}

// respellRows is the number of rows that are written in one transaction.
const respellRows = 200

// respellers is the number of rooms that are written at the same time, in shared transactions.
const respellers = 64

// respellAll replaces the rows of rooms that are in another spelling, and returns the rooms for
// which that has failed. If the database does not accept writes, the others are not tried.
func (st *rooms) respellAll(ctx context.Context, rooms []*loadedRoom) map[sip.AoR]error {
	var mu sync.Mutex
	var down error
	failed := map[sip.AoR]error{}
	respell := func(r *loadedRoom) {
		mu.Lock()
		err := down
		mu.Unlock()
		if err == nil {
			err = st.respell(ctx, r, r.list())
		}
		if err == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if failed[r.AoR] = err; errors.Is(err, errBusy) {
			down = err
		}
	}
	queue := make(chan *loadedRoom)
	var workers sync.WaitGroup
	for range respellers {
		workers.Go(func() {
			for r := range queue {
				respell(r)
			}
		})
	}
	for _, r := range rooms {
		if !r.other.empty() || r.copy.restored {
			queue <- r
		}
	}
	close(queue)
	workers.Wait()
	return failed
}

// respell replaces the rows of a room that are in another spelling, in steps: its log, its
// members, and at last the room. Where it ends early, the rest has the other spelling still,
// and the next start continues.
func (st *rooms) respell(ctx context.Context, r *loadedRoom, members []imc.Member) error {
	if err := st.check(&imc.Change{Room: r.Room, Put: members}); err != nil {
		return err
	}
	for _, uri := range r.other.uris {
		if err := st.respellLog(ctx, uri, r.AoR); err != nil {
			return err
		}
	}
	room := r.AoR.String()
	for some := range slices.Chunk(r.other.members, respellRows) {
		err := st.writer.step(ctx, len(some), func(s *session) error {
			var put []imc.Member
			for _, m := range some {
				if err := deleteMember(s, m.table, m.room, m.user); err != nil {
					return err
				}
				if own := r.find(st.layout.aor(m.user)); own != nil {
					put = append(put, *own)
				}
			}
			return putMembers(s, room, put)
		})
		if err != nil {
			return err
		}
	}
	for some := range slices.Chunk(members, respellRows) {
		if err := st.writer.step(ctx, len(some), func(s *session) error { return putMembers(s, room, some) }); err != nil {
			return err
		}
	}
	return st.writer.step(ctx, 1, func(s *session) error {
		for _, n := range r.other.names {
			if err := deleteRoom(s, n); err != nil {
				return err
			}
		}
		for _, uri := range r.other.uris {
			if err := deleteOwnRows(s, "silod_room", uri); err != nil {
				return err
			}
		}
		return putRoom(s, &imc.Change{Room: r.Room})
	})
}

// respellLog moves the log of a room from another spelling of its URI.
func (st *rooms) respellLog(ctx context.Context, uri string, room sip.AoR) error {
	for {
		seqs, err := st.reader.ints(ctx, st.ofRoom("seq", "ASC"), uri, 0, int64(math.MaxInt64), respellRows)
		if err != nil || len(seqs) == 0 {
			return err
		}
		cond, args := st.layout.dialect.list("seq", 2, anys(seqs))
		err = st.writer.step(ctx, len(seqs), func(s *session) error {
			return s.exec("UPDATE silod_room_log SET room = $1 WHERE "+cond, append([]any{room.String()}, args...)...)
		})
		if err != nil {
			return err
		}
	}
}
