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
)

// A note is a number that a database keeps for the next start: a row of silod_schema with a version
// that is not above 0. All other rows have versions of the tables, from 1.
type note int64

// The notes.
const (
	noteSeen      note = 0  // the newest time that a silod has seen
	noteAccounts  note = -1 // see auth.Mark
	noteRestoring note = -2 // 1: rooms are being restored
)

var noteTable = table{name: "silod_schema", keys: 1, fields: []field{{name: "version", kind: kindInt}, {name: "at", kind: kindInt}}}

// notes reads and writes notes.
type notes struct {
	layout *layout
	writer *writer
	reader *reader
}

// load returns a note, 0 if it was never saved.
func (n *notes) load(ctx context.Context, of note) (int64, error) {
	if text, ok := n.layout.dialect.(*textDB); ok {
		return text.loadNote(of)
	}
	at, err := n.reader.ints(ctx, `SELECT at FROM silod_schema WHERE version = $1`, int64(of))
	if err != nil {
		return 0, fmt.Errorf("read note: %w", err)
	}
	if len(at) == 0 {
		return 0, nil
	}
	return at[0], nil
}

// save saves a note.
func (n *notes) save(ctx context.Context, of note, value int64) error {
	var err error
	if text, ok := n.layout.dialect.(*textDB); ok {
		err = os.WriteFile(text.noteFile(of), []byte(strconv.FormatInt(value, 10)+"\n"), 0o600)
	} else {
		err = n.writer.step(ctx, 1, func(s *session) error { return s.upsert(&noteTable, [][]any{{int64(of), value}}) })
	}
	if err != nil {
		return fmt.Errorf("save note: %w", err)
	}
	return nil
}

// noteFile returns the name of the file that has a note: the directory has no silod_schema.
func (d *textDB) noteFile(of note) string {
	name := map[note]string{noteSeen: "seen", noteAccounts: "accounts", noteRestoring: "restoring"}[of]
	return filepath.Join(d.dir, ".silod."+name)
}

func (d *textDB) loadNote(of note) (int64, error) {
	text, err := os.ReadFile(d.noteFile(of))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read note: %w", err)
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, nil
}

// An AccountMark implements auth.Mark.
type AccountMark struct{ notes *notes }

// Load implements auth.Mark.
func (m AccountMark) Load(ctx context.Context) (int64, error) { return m.notes.load(ctx, noteAccounts) }

// Save implements auth.Mark.
func (m AccountMark) Save(ctx context.Context, scope int64) error {
	return m.notes.save(ctx, noteAccounts, scope)
}

// AccountMark returns the mark of a census of accounts.
func (db *DB) AccountMark() AccountMark { return AccountMark{&db.notes} }
