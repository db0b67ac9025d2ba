package db

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// seenVersion is the version of the row of silod_schema that has the newest time that a silod has
// seen. All other rows have versions of the tables, from 1.
const seenVersion int64 = 0

var seenTable = table{name: "silod_schema", keys: 1, fields: []field{{name: "version", kind: kindInt}, {name: "at", kind: kindInt}}}

// LastSeen returns the newest time that a silod has seen while it worked on the database, or the
// zero time.
func (db *DB) LastSeen(ctx context.Context) (time.Time, error) {
	if text, ok := db.layout.dialect.(*textDB); ok {
		return text.lastSeen()
	}
	at, err := db.reader.ints(ctx, `SELECT at FROM silod_schema WHERE version = $1`, seenVersion)
	if err != nil {
		return time.Time{}, fmt.Errorf("read last time: %w", err)
	}
	if len(at) == 0 {
		return time.Time{}, nil
	}
	return fromUnix(at[0]), nil
}

// SaveSeen saves a time for LastSeen.
func (db *DB) SaveSeen(ctx context.Context, t time.Time) error {
	var err error
	if text, ok := db.layout.dialect.(*textDB); ok {
		err = os.WriteFile(text.seenFile(), []byte(strconv.FormatInt(t.Unix(), 10)+"\n"), 0o600)
	} else {
		err = db.writer.step(ctx, 1, func(s *session) error { return s.upsert(&seenTable, [][]any{{seenVersion, t.Unix()}}) })
	}
	if err != nil {
		return fmt.Errorf("save time: %w", err)
	}
	return nil
}

// seenFile returns the name of the file that has the time: the directory has no silod_schema.
func (d *textDB) seenFile() string { return filepath.Join(d.dir, ".silod.seen") }

func (d *textDB) lastSeen() (time.Time, error) {
	text, err := os.ReadFile(d.seenFile())
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read last time: %w", err)
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return fromUnix(n), nil
}
