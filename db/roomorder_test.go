package db

import (
	"slices"
	"sync"
	"testing"

	"silod/im"
	"silod/imc"
)

// TestRoomLogOrder: concurrent entries are numbered in the order of the queue, also
// around an entry that cannot be stored.
func TestRoomLogOrder(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Rooms()
		apply(t, st, imc.Change{Room: imc.Room{AoR: room1}, Put: []imc.Member{{User: alice, Role: imc.Owner}}})
		var mu sync.Mutex
		var queued []*imc.Entry
		failed := map[*imc.Entry]bool{}
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				for n := range 20 {
					e := &imc.Entry{Room: room1, From: alice, At: noon, Message: im.Message{From: "a", Body: []byte("x")}}
					if n == 7 && i%5 == 0 {
						e.From.User = string(make([]byte, 300)) // wider than its column
					}
					err := st.Append(t.Context(), e, func() {
						mu.Lock()
						defer mu.Unlock()
						queued = append(queued, e)
					})
					if err != nil {
						mu.Lock()
						failed[e] = true
						mu.Unlock()
					}
				}
			})
		}
		all.Wait()
		var seqs []int64
		for _, e := range queued {
			if !failed[e] {
				seqs = append(seqs, e.Seq)
			}
		}
		if len(failed) != 4 || len(seqs) != 396 || !slices.IsSorted(seqs) || len(slices.Compact(slices.Clone(seqs))) != len(seqs) {
			t.Errorf("%d failed, %d were written, with the numbers %d", len(failed), len(seqs), seqs)
		}
	})
}
