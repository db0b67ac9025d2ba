package db

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"silod/db/dbtest"
	"silod/imc"
)

// TestRoomReadsOfFrozenServer checks that the reads of logs end at the time limit of their caller
// while the server hangs, that they leave connections to others, and that they work again
// afterwards.
func TestRoomReadsOfFrozenServer(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *dbtest.Server{"postgres": dbtest.NewPostgreSQL, "mariadb": dbtest.NewMariaDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			db := open(t, server.Database(t), Options{})
			st := db.Rooms()
			appendTo(t, st, room1, "hello")
			if _, err := st.Recent(t.Context(), room1, 0, time.Time{}, 5); err != nil {
				t.Fatal(err)
			}
			server.Freeze()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begin := time.Now()
			var reads sync.WaitGroup
			for range 40 {
				reads.Go(func() {
					if _, err := st.Recent(ctx, room1, 0, time.Time{}, 5); !errors.Is(err, imc.ErrBusy) {
						t.Errorf("a read of a frozen server: %v", err)
					}
				})
			}
			time.Sleep(500 * time.Millisecond)
			if n := db.reader.pool.Stats().InUse; n > roomReads {
				t.Errorf("%d connections are in use", n)
			}
			reads.Wait()
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("the reads ended after %v", took)
			}
			server.Thaw()
			es, err := st.Recent(t.Context(), room1, 0, time.Time{}, 5)
			if err != nil || said(es) != "hello" {
				t.Errorf("after the thaw: %q, %v", said(es), err)
			}
		})
	}
}
