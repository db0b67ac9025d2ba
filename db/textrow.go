package db

import (
	"bytes"
	"fmt"
	"slices"
)

// textKeep stands for the value of a field that silod does not know: it stays as it is.
var textKeep any = new(struct{ _ int })

// rewrite returns a line with other values, one for each column. Fields with the same value keep
// their bytes.
func (f *textFile) rewrite(raw []byte, values []any) ([]byte, error) {
	fields := f.fields(f.content(raw))
	changed := false
	for i := range f.columns {
		c, v := &f.columns[i], values[i]
		if v == textKeep {
			continue
		}
		if old, err := c.decode(fields[i]); err == nil && sameText(old, v) {
			continue
		}
		field, err := f.encode(c, v)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(field, fields[i]) {
			fields[i], changed = field, true
		}
	}
	if !changed {
		return raw, nil
	}
	return f.line(fields), nil
}

// format returns the line of a new row. Columns that silod does not know get NULL, or 0 or an empty
// text where NULL is not allowed.
func (f *textFile) format(values []any) ([]byte, error) {
	fields := make([][]byte, len(values))
	for i, v := range values {
		if v == textKeep {
			v = nil
		}
		var err error
		if fields[i], err = f.encode(&f.columns[i], v); err != nil {
			return nil, err
		}
	}
	return f.line(fields), nil
}

// line returns a line with these fields.
func (f *textFile) line(fields [][]byte) []byte {
	return append(bytes.Join(fields, []byte(":")), f.eol...)
}

// encode returns the field of a value. It returns errTextField if Kamailio would not read it.
func (f *textFile) encode(c *textColumn, v any) ([]byte, error) {
	if c.kind == textString && !f.own && len(asText(v)) > textFieldMax {
		return nil, fmt.Errorf("column %s: %w", c.name, errTextField)
	}
	return c.encode(v), nil
}

// sameText reports whether a decoded value is the value of a column in memory.
func sameText(old, v any) bool {
	switch old := old.(type) {
	case nil:
		return v == nil || v == ""
	case int64:
		return v != nil && asText(v) == asText(old)
	case float64:
		return v != nil && asFloat(v) == old
	}
	return v != nil && asText(v) == asText(old)
}

// bytes returns the contents of the file.
func (f *textFile) bytes() []byte {
	n := len(f.head)
	for _, l := range f.lines {
		n += len(l.raw)
	}
	out := append(make([]byte, 0, n), f.head...)
	for _, l := range f.lines {
		out = append(out, l.raw...)
	}
	return out
}

// add appends the line of a new row.
func (f *textFile) add(l textLine) {
	last := &f.head
	if n := len(f.lines); n > 0 {
		last = &f.lines[n-1].raw
	}
	if !bytes.HasSuffix(*last, []byte("\n")) {
		*last = append(bytes.Clone(*last), f.eol...)
	}
	f.lines = append(f.lines, l)
}

// remark notes why Kamailio would not read a row.
func (f *textFile) remark(n int, raw []byte, values []any) {
	if f.own || f.refused != "" {
		return
	}
	why := func(column, text string) { f.refused = fmt.Sprintf("line %d, column %s: %s", n, column, text) }
	fields := f.fields(f.content(raw))
	for i := range f.columns {
		c := &f.columns[i]
		switch {
		case len(fields[i]) == 0 && values[i] == nil && !c.null && !c.auto,
			len(fields[i]) == 0 && c.empty == textEmpty:
			why(c.name, "empty, but not null")
		case c.kind == textString && len(asText(values[i])) > textFieldMax:
			why(c.name, "16,384 bytes or more")
		case c.kind == textString && unknownEscape(fields[i]):
			why(c.name, "an unknown escape")
		}
	}
	if f.eol != "\n" || !bytes.HasSuffix(raw, []byte("\n")) {
		f.refused = fmt.Sprintf("line %d: its end is not a line feed", n)
	}
}

// unknownEscape reports whether a field has an escape that is none of Kamailio's.
func unknownEscape(field []byte) bool {
	for i := 0; i < len(field); i++ {
		if field[i] != '\\' {
			continue
		}
		i++
		if i == len(field) || bytes.IndexByte([]byte(`nrt\:0`), field[i]) < 0 {
			return true
		}
	}
	return false
}

// column returns the index of the first column with a name.
func (f *textFile) column(name string) (int, bool) {
	i := slices.IndexFunc(f.columns, func(c textColumn) bool { return c.name == name })
	return i, i >= 0
}

// inMemory returns the columns that the table in memory has besides serial: those with a name that
// statements can have, the first of each name.
func (f *textFile) inMemory(serial string) (columns []int) {
	for i, c := range f.columns {
		if first, _ := f.column(c.name); first == i && c.name != serial && identifier.MatchString(c.name) {
			columns = append(columns, i)
		}
	}
	return columns
}

// quoted returns the names of columns for a statement.
func (f *textFile) quoted(columns []int) (names []string) {
	for _, i := range columns {
		names = append(names, `"`+f.columns[i].name+`"`)
	}
	return names
}

// pick returns the values of a line in some columns, nil for an empty line. A file has one form for
// NULL and for an empty text, which is an empty text in memory.
func (f *textFile) pick(raw []byte, columns []int) []any {
	row := f.content(raw)
	if row == nil {
		return nil
	}
	all, _ := f.values(row) // parseText has checked it
	values := make([]any, len(columns), len(columns)+1)
	for i, c := range columns {
		if values[i] = all[c]; values[i] == nil && f.columns[c].kind == textString {
			values[i] = ""
		}
	}
	return values
}

// maxTextID is the highest id that becomes the number of a row. Programs that read it as a floating
// point number lose no digit.
const maxTextID = 1 << 53

// number sets the numbers of all rows, and returns those that differ from the id in the row. Ids
// need not be unique, and some files have none.
func (f *textFile) number(serial string) map[int64]bool {
	renumbered, used, last := map[int64]bool{}, map[int64]bool{}, int64(0)
	id, ok := f.column(serial)
	for i := range f.lines {
		l := &f.lines[i]
		if values := f.pick(l.raw, []int{max(id, 0)}); values != nil && ok {
			if n, _ := values[0].(int64); n > 0 && n <= maxTextID && !used[n] {
				l.number, used[n], last = n, true, max(last, n)
			}
		}
	}
	for i := range f.lines {
		if l := &f.lines[i]; l.number == 0 && f.content(l.raw) != nil {
			last++
			l.number = last
			if ok {
				renumbered[last] = true
			}
		}
	}
	return renumbered
}

// without returns the fields of a line besides its id.
func (f *textFile) without(raw []byte, id int, hasID bool) string {
	fields := f.fields(f.content(raw))
	if hasID {
		fields = slices.Delete(fields, id, id+1)
	}
	return string(bytes.Join(fields, []byte(":")))
}
