package db

import (
	"context"
	"fmt"
	"time"
)

// LastSeen returns the newest time that a silod has seen while it worked on the database, or the
// zero time.
func (db *DB) LastSeen(ctx context.Context) (time.Time, error) {
	at, err := db.notes.load(ctx, noteSeen)
	if err != nil {
		return time.Time{}, fmt.Errorf("read last time: %w", err)
	}
	return fromUnix(at), nil
}

// SaveSeen saves a time for LastSeen.
func (db *DB) SaveSeen(ctx context.Context, t time.Time) error {
	if err := db.notes.save(ctx, noteSeen, t.Unix()); err != nil {
		return fmt.Errorf("save time: %w", err)
	}
	return nil
}
