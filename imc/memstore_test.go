package imc_test

import (
	"cmp"
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
	order []sip.AoR
	fails func(op string) error // called before each operation
}

type memRoom struct {
	imc.Room
	members map[sip.AoR]imc.Member
	order   []sip.AoR
	log     []imc.Entry
}

func newMemStore() *memStore { return &memStore{rooms: map[sip.AoR]*memRoom{}} }

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

func (st *memStore) Apply(_ context.Context, c imc.Change) error {
	if err := st.begin("apply"); err != nil {
		return err
	}
	defer st.mu.Unlock()
	if !c.Was.IsZero() {
		st.rooms[c.Room.AoR] = st.rooms[c.Was]
		delete(st.rooms, c.Was)
		st.order[slices.Index(st.order, c.Was)] = c.Room.AoR
	}
	r := st.rooms[c.Room.AoR]
	if c.Delete {
		delete(st.rooms, c.Room.AoR)
		st.order = slices.DeleteFunc(st.order, func(a sip.AoR) bool { return a == c.Room.AoR })
		return nil
	}
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
	r := st.rooms[e.Room]
	stored := *e
	stored.At = e.At.Truncate(time.Second) // the precision that a Store must keep
	stored.Body = slices.Clone(e.Body)
	stored.Headers = slices.Clone(e.Headers)
	r.log = append(r.log, stored)
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

func (st *memStore) Log(_ context.Context, room sip.AoR, after int64, limit int) ([]imc.Entry, error) {
	return st.read(room, func(es []imc.Entry) []imc.Entry {
		i, _ := slices.BinarySearchFunc(es, after+1, func(e imc.Entry, seq int64) int { return cmp.Compare(e.Seq, seq) })
		return es[i:min(i+limit, len(es))]
	})
}

func (st *memStore) Recent(_ context.Context, room sip.AoR, since time.Time, limit int) ([]imc.Entry, error) {
	return st.read(room, func(es []imc.Entry) []imc.Entry {
		i := slices.IndexFunc(es, func(e imc.Entry) bool { return !e.At.Before(since) })
		if i < 0 {
			return nil
		}
		return es[max(i, len(es)-limit):]
	})
}

func (st *memStore) read(room sip.AoR, f func([]imc.Entry) []imc.Entry) ([]imc.Entry, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.fails != nil {
		if err := st.fails("read"); err != nil {
			return nil, err
		}
	}
	r := st.rooms[room]
	if r == nil {
		return nil, nil
	}
	return slices.Clone(f(r.log)), nil
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
		}
	}
	return nil
}

func (st *memStore) Purge(_ context.Context, before time.Time, deliveredOnly bool, limit int) (int, error) {
	if err := st.begin("purge"); err != nil {
		return 0, err
	}
	defer st.mu.Unlock()
	n := 0
	for _, r := range st.rooms {
		got := int64(1 << 62)
		for _, m := range r.members {
			if m.Role != imc.Invited && m.Role != imc.Banned {
				got = min(got, m.Cursor)
			}
		}
		r.log = slices.DeleteFunc(r.log, func(e imc.Entry) bool {
			if n == limit || !e.At.Before(before) || deliveredOnly && e.Seq > got {
				return false
			}
			n++
			return true
		})
	}
	return n, nil
}

var (
	_ imc.Store       = (*memStore)(nil)
	_ delivery.Source = (*imc.Service)(nil)
)
