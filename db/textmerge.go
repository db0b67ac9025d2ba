package db

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
)

// errTextChanged is the error for a file that another program has changed. The transaction is
// attempted again.
var errTextChanged = errors.New("another program has changed the file")

// forgetChanges ends the record of changes since the last flush.
const forgetChanges = "DELETE FROM text_changes"

// adopt finds out whether another program has changed the file of a changed table. If so, it ends
// the transaction, changes the tables in memory in the same way, and returns errTextChanged.
func (d *textDB) adopt(s *session, changes map[string][]int64) error {
	var merges []*textMerge
	for _, t := range d.tables {
		if len(changes[t.name]) == 0 && !t.behind {
			continue
		}
		m, err := d.compare(t)
		if err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
		if m != nil {
			merges = append(merges, m)
		}
	}
	if merges == nil {
		return nil
	}
	begin := s.layout.fragments.begin
	for _, text := range []string{"ROLLBACK", begin} {
		if _, err := s.raw(text); err != nil {
			return fmt.Errorf("%w: %w", errTextChanged, err)
		}
	}
	for _, m := range merges {
		if err := d.merge(s, m); err != nil {
			return fmt.Errorf("table %s: %w", m.table.name, err)
		}
	}
	for _, text := range []string{forgetChanges, "COMMIT", begin} {
		if _, err := s.raw(text); err != nil {
			return fmt.Errorf("%w: %w", errTextChanged, err)
		}
	}
	for _, m := range merges {
		m.table.file, m.table.info, m.table.renumbered = m.file, m.info, m.renumbered
		d.log.Warn("table changed by another program",
			"file", filepath.Join(d.dir, m.table.name), "added", len(m.added), "removed", len(m.removed))
	}
	return errTextChanged
}

// A textMerge is a file that another program has changed.
type textMerge struct {
	table      *textTable
	file       *textFile
	info       fs.FileInfo
	added      []*textLine
	removed    []any // numbers of rows
	renumbered map[int64]bool
}

// compare returns the change that another program has made to a file, nil if there is none. A line
// that has changed is a row that was removed and one that was added. A file that was removed will
// be written again.
func (d *textDB) compare(t *textTable) (*textMerge, error) {
	path := filepath.Join(d.dir, t.name)
	if same, err := sameFile(path, t.info); err != nil || same {
		return nil, err
	}
	f, info, err := readTextFile(path, t.own)
	if errors.Is(err, fs.ErrNotExist) {
		t.info, t.behind = nil, true
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("another program has changed the file: %w; repair it", err)
	}
	if t.file != nil && bytes.Equal(f.bytes(), t.file.bytes()) {
		t.info = info
		return nil, nil
	}
	if t.own || t.file == nil || t.behind || !bytes.Equal(f.head, t.file.head) {
		return nil, errors.New("another program has changed the file: restart silod, which then reads it")
	}
	m := &textMerge{table: t, file: f, info: info, renumbered: maps.Clone(t.renumbered)}
	known := map[string][]int64{}
	for _, l := range t.file.lines {
		if row := f.content(l.raw); row != nil {
			known[string(row)] = append(known[string(row)], l.number)
		}
	}
	for i := range f.lines {
		l := &f.lines[i]
		row := string(f.content(l.raw))
		if ns := known[row]; len(ns) > 0 {
			l.number, known[row] = ns[0], ns[1:]
		} else if row != "" {
			m.added = append(m.added, l)
		}
	}
	for _, numbers := range known {
		m.removed = append(m.removed, anys(numbers)...)
	}
	return m, nil
}

// merge changes the table in memory.
func (d *textDB) merge(s *session, m *textMerge) error {
	t, serial := m.table, m.table.serial
	cond, args := d.list(serial, 1, m.removed)
	if err := s.exec("DELETE FROM "+t.name+" WHERE "+cond, args...); err != nil {
		return err
	}
	last, err := highest(context.Background(), s.conn, t.name, serial)
	if err != nil {
		return err
	}
	columns := m.file.inMemory(serial)
	text := insertText("INSERT", t.name, append(m.file.quoted(columns), serial))
	id, hasID := m.file.column(serial)
	for _, l := range m.added {
		l.number = last + 1
		if hasID {
			// An id that another row may have had is not used as the number.
			if n, _ := m.file.pick(l.raw, []int{id})[0].(int64); n > last && n <= maxTextID {
				l.number = n
			} else {
				m.renumbered[l.number] = true
			}
		}
		last = l.number
		if _, err := s.raw(text, append(m.file.pick(l.raw, columns), l.number)...); err != nil {
			return err
		}
	}
	return nil
}
