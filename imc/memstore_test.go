package imc_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"silod/delivery"
	"silod/imc"
	"silod/sip"
)

// memStore is a Store in memory. It outlives a crash of the Service and can be made to
// fail.
type memStore struct {
	mu    sync.Mutex
	rooms map[sip.AoR]*memRoom
	seq   int64
	log   []imc.Entry // of all rooms
	order []sip.AoR
	fails func(op string) error // called before each operation
	lost  []imc.Cursor          // saved for rooms that do not exist
	block [][2]sip.AoR
}

type memRoom struct {
	imc.Room
	members map[sip.AoR]imc.Member
	order   []sip.AoR
}

func newMemStore() *memStore { return &memStore{rooms: map[sip.AoR]*memRoom{}} }

// fail sets fails while the Service may work in the background.
func (st *memStore) fail(f func(op string) error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.fails = f
}

func (st *memStore) begin(op string) error {
	st.mu.Lock()
	if st.fails != nil {
		if err := st.fails(op); err != nil {
			st.mu.Unlock()
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	return nil
}

func (st *memStore) Load(_ context.Context, f func(imc.Room, []imc.Member), _ func(error)) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, name := range st.order {
		r := st.rooms[name]
		members := make([]imc.Member, 0, len(r.members))
		for _, u := range r.order {
			members = append(members, r.members[u])
		}
		f(r.Room, members)
	}
	return nil
}

func (st *memStore) Blocks(_ context.Context, f func(user, target sip.AoR), _ func(error)) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, b := range st.block {
		f(b[0], b[1])
	}
	return nil
}

func (st *memStore) SetBlock(_ context.Context, user, target sip.AoR, on bool) error {
	if err := st.begin("block"); err != nil {
		return err
	}
	defer st.mu.Unlock()
	b := [2]sip.AoR{user, target}
	st.block = slices.DeleteFunc(st.block, func(x [2]sip.AoR) bool { return x == b })
	if on {
		st.block = append(st.block, b)
	}
	return nil
}

func (st *memStore) Apply(_ context.Context, c imc.Change) error {
	if err := st.begin("apply"); err != nil {
		return err
	}
	defer st.mu.Unlock()
	r := st.rooms[c.Room.AoR]
	if r == nil {
		r = &memRoom{members: map[sip.AoR]imc.Member{}}
		st.rooms[c.Room.AoR] = r
		st.order = append(st.order, c.Room.AoR)
	}
	r.Room = c.Room
	for _, u := range c.Remove {
		delete(r.members, u)
		r.order = slices.DeleteFunc(r.order, func(a sip.AoR) bool { return a == u })
	}
	for _, m := range c.Put {
		old, known := r.members[m.User]
		if !known {
			r.order = append(r.order, m.User)
		}
		m.Cursor = max(m.Cursor, old.Cursor)
		r.members[m.User] = m
	}
	if c.Notice != nil {
		st.append(c.Notice)
	}
	return nil
}

func (st *memStore) append(e *imc.Entry) {
	st.seq++
	e.Seq = st.seq
	stored := *e
	stored.At = e.At.Truncate(time.Second) // the precision that a Store must keep
	stored.Body = slices.Clone(e.Body)
	stored.Headers = slices.Clone(e.Headers)
	st.log = append(st.log, stored)
}

func (st *memStore) Append(_ context.Context, e *imc.Entry, queued func()) error {
	if err := st.begin("append"); err != nil {
		return err
	}
	defer st.mu.Unlock()
	queued()
	st.append(e)
	return nil
}

func (st *memStore) Ends(_ context.Context, f func(sip.AoR, int64)) error {
	if err := st.begin("ends"); err != nil {
		return err
	}
	defer st.mu.Unlock()
	last := map[sip.AoR]int64{}
	for _, e := range st.log {
		last[e.Room] = e.Seq
	}
	for room, seq := range last {
		f(room, seq)
	}
	return nil
}

func (st *memStore) Log(_ context.Context, room sip.AoR, after int64, limit int) ([]imc.Entry, error) {
	es, err := st.read(func(e *imc.Entry) bool { return e.Room == room && e.Seq > after })
	return es[:min(limit, len(es))], err
}

func (st *memStore) Recent(_ context.Context, room sip.AoR, after int64, since time.Time, limit int) ([]imc.Entry, error) {
	es, err := st.read(func(e *imc.Entry) bool { return e.Room == room && e.Seq > after && !e.At.Before(since) })
	return es[max(0, len(es)-limit):], err
}

func (st *memStore) Seqs(_ context.Context, room sip.AoR, after int64, limit int) ([]int64, error) {
	ps, err := st.positions(1<<30, func(e *imc.Entry) bool { return e.Room == room && e.Seq > after })
	var seqs []int64
	for _, p := range slices.Backward(ps) {
		if len(seqs) < limit {
			seqs = append(seqs, p.Seq)
		}
	}
	return seqs, err
}

func (st *memStore) Positions(_ context.Context, room sip.AoR, after int64, limit int) ([]imc.Position, error) {
	return st.positions(limit, func(e *imc.Entry) bool { return (room.IsZero() || e.Room == room) && e.Seq > after })
}

func (st *memStore) Oldest(_ context.Context, from, before time.Time, limit int) ([]imc.Position, error) {
	return st.positions(limit, func(e *imc.Entry) bool { return !e.At.Before(from) && e.At.Before(before) })
}

func (st *memStore) LastBefore(_ context.Context, before time.Time) (int64, error) {
	ps, err := st.positions(1<<30, func(e *imc.Entry) bool { return e.At.Before(before) })
	if len(ps) == 0 {
		return 0, err
	}
	return ps[len(ps)-1].Seq, err
}

func (st *memStore) positions(limit int, f func(*imc.Entry) bool) ([]imc.Position, error) {
	es, err := st.read(f)
	var ps []imc.Position
	for _, e := range es[:min(limit, len(es))] {
		ps = append(ps, imc.Position{Seq: e.Seq, Room: e.Room, At: e.At})
	}
	return ps, err
}

// read returns the entries for which f returns true.
func (st *memStore) read(f func(*imc.Entry) bool) ([]imc.Entry, error) {
	if err := st.begin("read"); err != nil {
		return nil, err
	}
	defer st.mu.Unlock()
	var es []imc.Entry
	for i := range st.log {
		if f(&st.log[i]) {
			es = append(es, st.log[i])
		}
	}
	return es, nil
}

// logOf returns the entries of a room.
func (st *memStore) logOf(room sip.AoR) []imc.Entry {
	es, _ := st.read(func(e *imc.Entry) bool { return e.Room == room })
	return es
}

func (st *memStore) SaveCursors(_ context.Context, cs []imc.Cursor) error {
	if err := st.begin("cursors"); err != nil {
		return err
	}
	defer st.mu.Unlock()
	for _, c := range cs {
		if r := st.rooms[c.Room]; r != nil {
			if m, known := r.members[c.User]; known {
				m.Cursor, m.Seen = max(m.Cursor, c.Seq), c.Seen
				r.members[c.User] = m
			}
		} else {
			st.lost = append(st.lost, c)
		}
	}
	return nil
}

func (st *memStore) DeleteEntries(_ context.Context, seqs []int64) error {
	if err := st.begin("purge"); err != nil {
		return err
	}
	defer st.mu.Unlock()
	st.log = slices.DeleteFunc(st.log, func(e imc.Entry) bool { return slices.Contains(seqs, e.Seq) })
	return nil
}

func (st *memStore) Erase(_ context.Context, room sip.AoR, limit int) (done bool, err error) {
	if err := st.begin("erase"); err != nil {
		return false, err
	}
	defer st.mu.Unlock()
	r := st.rooms[room]
	if r == nil {
		return true, nil
	}
	n := min(limit, len(r.order))
	for _, u := range r.order[:n] {
		delete(r.members, u)
	}
	if r.order = r.order[n:]; n == limit {
		return false, nil
	}
	delete(st.rooms, room)
	st.order = slices.DeleteFunc(st.order, func(a sip.AoR) bool { return a == room })
	return true, nil
}

var (
	_ imc.Store       = (*memStore)(nil)
	_ delivery.Source = (*imc.Service)(nil)
)
