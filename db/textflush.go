package db

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// flush implements dialect. It writes the tables whose rows have changed. All files are prepared
// before the first one is replaced. A table that cannot be written fails the transaction.
func (d *textDB) flush(s *session) error {
	if d.deferred {
		return nil
	}
	changes, err := textChanges(s)
	if err != nil {
		return fmt.Errorf("read changes: %w", err)
	}
	if len(changes) > 0 && d.readOnly {
		return fmt.Errorf("directory %s was opened for reading only", d.dir)
	}
	marked, err := d.marked(s, changes)
	if err != nil {
		return fmt.Errorf("read changes: %w", err)
	}
	changes[d.silo.name] = append(changes[d.silo.name], marked...)
	if err := d.adopt(s, changes); err != nil {
		return err
	}
	var writes []*textWrite
	defer func() {
		for _, w := range writes {
			w.discard()
		}
	}()
	for _, t := range d.tables {
		if len(changes[t.name]) == 0 && !t.behind && (t.file != nil || t.own) {
			continue
		}
		w := &textWrite{table: t, path: filepath.Join(d.dir, t.name), info: t.info, numbers: changes[t.name], marked: marked}
		writes = append(writes, w)
		if err := d.prepare(s, w); err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
	}
	if _, err := s.raw(forgetChanges); err != nil {
		return fmt.Errorf("delete changes: %w", err)
	}
	return d.replaceAll(writes)
}

// replaceAll replaces files. If one of them fails, the transaction fails, and it and those before it
// are written again with the next transaction.
func (d *textDB) replaceAll(writes []*textWrite) error {
	for i, w := range writes {
		if err := w.replace(); err != nil {
			for _, b := range writes[:i+1] {
				if b.begun {
					b.table.behind, b.table.info = true, b.info
				}
			}
			return fmt.Errorf("table %s: %w", w.table.name, err)
		}
	}
	for _, w := range writes {
		t := w.table
		t.info, t.behind = w.info, false
		if w.file != nil {
			t.file, t.renumbered = w.file, w.renumbered
		}
	}
	return nil
}

// textChanges returns the numbers of changed rows, by table; of silod's own tables only whether they
// have changed.
func textChanges(s *session) (map[string][]int64, error) {
	rows, err := s.rows("SELECT DISTINCT name, COALESCE(number, 0) FROM text_changes")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	changes := map[string][]int64{}
	for rows.Next() {
		var name string
		var number int64
		if err := scan(rows, &name, &number); err != nil {
			return nil, err
		}
		changes[name] = append(changes[name], number)
	}
	return changes, rows.Err()
}

// marked returns the messages that have another id in the file, and that a changed side table
// names: their rows get their number as the id, so that it stays the same.
func (d *textDB) marked(s *session, changes map[string][]int64) (marked []int64, err error) {
	if len(d.silo.renumbered) == 0 {
		return nil, nil
	}
	for _, side := range sideTables {
		if len(changes[side]) == 0 {
			continue
		}
		ids, err := scanInts(s.rows("SELECT DISTINCT silo_id FROM " + side))
		if err != nil {
			return nil, err
		}
		for _, n := range ids {
			if d.silo.renumbered[n] {
				marked = append(marked, n)
			}
		}
	}
	return marked, nil
}

// prepare writes the new file of a table beside the old one, unless nothing changes.
func (d *textDB) prepare(s *session, w *textWrite) (err error) {
	t := w.table
	w.renumbered = map[int64]bool{}
	maps.Copy(w.renumbered, t.renumbered)
	changed := true
	switch {
	case t.own:
		if w.file, err = d.dump(s, t); err == nil {
			changed = t.file == nil && len(w.file.lines) > 0 || t.file != nil && !bytes.Equal(w.file.bytes(), t.file.bytes())
		}
	case t.file == nil:
		w.file, err = d.dump(s, t)
	default:
		w.file, changed, err = d.change(s, w, t.file)
	}
	if err != nil {
		return err
	}
	if !changed {
		w.file = t.file
	}
	if w.file == nil || !changed && !t.behind {
		return nil
	}
	return w.prepare(w.file.bytes(), d.model())
}

// model returns the description of a file of Kamailio, whose mode new files get; nil if there is none.
func (d *textDB) model() fs.FileInfo {
	for _, t := range d.tables {
		if !t.own && t.info != nil {
			return t.info
		}
	}
	return nil
}

// change returns the file with the changed rows as they are in memory.
func (d *textDB) change(s *session, w *textWrite, base *textFile) (*textFile, bool, error) {
	t := w.table
	rows, err := d.read(s, t, base, w.numbers)
	if err != nil {
		return nil, false, err
	}
	f := *base
	f.lines = make([]textLine, 0, len(base.lines)+len(rows))
	touched, gone, changed := map[int64]bool{}, map[int64]bool{}, false
	for _, n := range w.numbers {
		touched[n] = true
	}
	id, _ := base.column(t.serial)
	// All lines keep their place: the file stays comparable for people and for backups.
	for _, l := range base.lines {
		if l.number != 0 && touched[l.number] {
			values, exists := rows[l.number]
			if gone[l.number] = !exists; exists {
				if w.renumbered[l.number] && !slices.Contains(w.marked, l.number) {
					values[id] = textKeep
				}
				raw, err := f.rewrite(l.raw, values)
				if err != nil {
					return nil, false, fmt.Errorf("row %d: %w", l.number, err)
				}
				changed = changed || !bytes.Equal(raw, l.raw)
				l.raw = raw
				delete(rows, l.number)
			}
		}
		f.lines = append(f.lines, l)
	}
	if t != d.silo { // other tables name messages by their numbers
		w.keepLines(&f, rows, gone)
	}
	for _, n := range slices.Sorted(maps.Keys(rows)) {
		raw, err := f.format(rows[n])
		if err != nil {
			return nil, false, fmt.Errorf("row %d: %w", n, err)
		}
		f.add(textLine{raw, n})
		changed = true
	}
	f.lines = slices.DeleteFunc(f.lines, func(l textLine) bool {
		changed = changed || gone[l.number]
		return gone[l.number]
	})
	for _, n := range w.marked {
		delete(w.renumbered, n)
	}
	return &f, changed, nil
}

// keepLines gives rows that were removed and added again their old lines.
func (w *textWrite) keepLines(f *textFile, rows map[int64][]any, gone map[int64]bool) {
	id, hasID := f.column(w.table.serial)
	again := map[string][]int64{}
	for n, values := range rows {
		if raw, err := f.format(values); err == nil {
			key := f.without(raw, id, hasID)
			again[key] = append(again[key], n)
		}
	}
	for i := range f.lines {
		l := &f.lines[i]
		if len(again) == 0 || !gone[l.number] {
			continue
		}
		key := f.without(l.raw, id, hasID)
		if ns := again[key]; len(ns) > 0 {
			l.number, again[key] = ns[0], ns[1:]
			w.renumbered[ns[0]] = hasID
			delete(rows, ns[0])
		}
	}
}

// read returns the values of rows for the columns of a file.
func (d *textDB) read(s *session, t *textTable, f *textFile, numbers []int64) (map[int64][]any, error) {
	columns := f.inMemory(t.serial)
	cond, args := d.list(t.serial, 1, anys(numbers))
	rows, err := s.query("SELECT "+strings.Join(append(f.quoted(columns), t.serial), ", ")+" FROM "+t.name+" WHERE "+cond, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[int64][]any{}
	for rows.Next() {
		values := make([]any, len(f.columns))
		for i := range values {
			values[i] = textKeep
		}
		var number int64
		into := make([]any, 0, len(columns)+1)
		for _, i := range columns {
			into = append(into, &values[i])
		}
		if err := scan(rows, append(into, &number)...); err != nil {
			return nil, err
		}
		if i, ok := f.column(t.serial); ok {
			values[i] = number
		}
		out[number] = values
	}
	return out, rows.Err()
}

// dump returns a new file with the whole table.
func (d *textDB) dump(s *session, t *textTable) (*textFile, error) {
	f, err := d.describe(s, t)
	if err != nil {
		return nil, err
	}
	rows, err := s.conn.QueryContext(context.Background(), "SELECT * FROM "+t.name+" ORDER BY 1")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		values := make([]any, len(f.columns))
		into := make([]any, len(values))
		for i := range values {
			into[i] = &values[i]
		}
		if err := scan(rows, into...); err != nil {
			return nil, err
		}
		raw, err := f.format(values)
		if err != nil {
			return nil, fmt.Errorf("row %v: %w", values[0], err)
		}
		l := textLine{raw: raw}
		if !t.own {
			l.number = asInt(values[0])
		}
		f.add(l)
	}
	return f, rows.Err()
}

// describe returns an empty file with the columns of a table in memory. Kamailio's msilo gives the
// columns callid and status no value, and db_text has no other defaults than NULL.
func (d *textDB) describe(s *session, t *textTable) (*textFile, error) {
	rows, err := s.conn.QueryContext(context.Background(), "SELECT name, type, \"notnull\", pk > 0 FROM pragma_table_info(?)", t.name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var head []string
	for rows.Next() {
		var name, typ string
		var notnull, pk bool
		if err := scan(rows, &name, &typ, &notnull, &pk); err != nil {
			return nil, err
		}
		kind := "string"
		switch declared(typ).kind {
		case "integer", "timestamp without time zone":
			kind = "int"
		case "real":
			kind = "double"
		}
		switch {
		case pk && kind == "int" && !t.own:
			kind += ",auto"
		case !notnull, t == d.silo && (name == s.layout.messages.names.CallID || name == "status"):
			kind += ",null"
		}
		head = append(head, name+"("+kind+")")
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return parseText([]byte(strings.Join(head, " ")+"\n"), t.own)
}
