package db

import (
	"testing"
	"time"
)

// The newest time is saved on every engine, and a database that has one is opened as before.
func TestLastSeen(t *testing.T) {
	t.Parallel()
	for _, e := range append([]engine{textEngine}, engines...) {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			url := e.fresh(t)
			db := open(t, url, Options{})
			if at, err := db.LastSeen(t.Context()); err != nil || !at.IsZero() {
				t.Errorf("a new database: %v, %v", at, err)
			}
			for _, at := range []time.Time{noon, noon.Add(time.Hour), noon} {
				if err := db.SaveSeen(t.Context(), at); err != nil {
					t.Fatal(err)
				}
			}
			closeDB(t, db)
			db = open(t, url, Options{})
			if at, err := db.LastSeen(t.Context()); err != nil || !at.Equal(noon) {
				t.Errorf("saved %v, %v", at, err)
			}
		})
	}
}
