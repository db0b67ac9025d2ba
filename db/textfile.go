package db

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A textFile is a file of Kamailio's db_text: a line with the columns, then a line for each row,
// its fields separated by colons. All lines are kept as they are, so that a row that does not
// change keeps its bytes and its place.
type textFile struct {
	head    []byte // the first line, with its end
	eol     string // the end of new lines
	own     bool   // of silod, Kamailio does not read it
	columns []textColumn
	lines   []textLine
	refused string // why Kamailio does not read all rows; "" if it does
}

// A textLine is a line with its end. The row of a line has a number in memory, 0 for an empty
// line.
type textLine struct {
	raw    []byte
	number int64
}

// A textColumn is "name(type)", "name(type,null)" or "name(type,auto)".
type textColumn struct {
	name  string // in lower case
	kind  textKind
	typ   string // as Kamailio writes it
	null  bool
	auto  bool
	empty string // the field of an empty text
}

type textKind int

const (
	textString textKind = iota
	textInt
	textDouble
)

// textFieldMax is the length of the longest field that Kamailio reads, without escapes. It refuses
// a table with a longer one.
const textFieldMax = 16383

// textEmpty is a field that Kamailio reads as an empty text. In a column that is not null, it
// takes an empty field for NULL and refuses the table.
const textEmpty = `\0`

// errTextField is the error for a field that is longer than textFieldMax.
var errTextField = errors.New("a field of 16,384 bytes or more would make Kamailio refuse the table")

// parseText parses a file. own is set for silod's own tables. An error has the number of the line
// and the name of the column.
func parseText(data []byte, own bool) (*textFile, error) {
	head, rest := cutFirstLine(data)
	f := &textFile{head: head, eol: "\n", own: own}
	if bytes.HasSuffix(head, []byte("\r\n")) {
		f.eol = "\r\n"
	}
	if err := f.parseHead(strings.TrimRight(string(head), "\r\n")); err != nil {
		return nil, fmt.Errorf("line 1: %w", err)
	}
	for n := 2; len(rest) > 0; n++ {
		var raw []byte
		raw, rest = cutFirstLine(rest)
		f.lines = append(f.lines, textLine{raw: raw})
		row := f.content(raw)
		if row == nil {
			continue
		}
		values, err := f.values(row)
		if err != nil {
			return nil, fmt.Errorf("line %d, %w", n, err)
		}
		f.remark(n, raw, values)
	}
	return f, nil
}

// cutFirstLine cuts the first line off, with its end.
func cutFirstLine(data []byte) (line, rest []byte) {
	i := bytes.IndexByte(data, '\n')
	if i < 0 {
		return data, nil
	}
	return data[: i+1 : i+1], data[i+1:]
}

// content returns a line without its end, nil for an empty line.
func (f *textFile) content(raw []byte) []byte {
	row := bytes.TrimSuffix(raw, []byte("\n"))
	if f.eol == "\r\n" {
		row = bytes.TrimSuffix(row, []byte("\r"))
	}
	if len(row) == 0 || string(row) == "\r" {
		return nil
	}
	return row
}

// parseHead parses the first line. As for Kamailio, spaces are needed nowhere, and the first
// letter names the type.
func (f *textFile) parseHead(head string) error {
	for rest := strings.TrimLeft(head, " \t"); rest != ""; rest = strings.TrimLeft(rest, " \t") {
		name, inner, ok := strings.Cut(rest, "(")
		inner, after, closed := strings.Cut(inner, ")")
		if name = strings.TrimSpace(name); !ok || !closed || name == "" || strings.ContainsAny(name, " \t") {
			return fmt.Errorf("%q is not a column, write name(type)", firstWord(rest))
		}
		c, err := newTextColumn(name, inner)
		if err != nil {
			return err
		}
		for _, other := range f.columns {
			c.auto = c.auto && !other.auto
		}
		if f.own {
			c.empty = ""
		}
		f.columns = append(f.columns, c)
		rest = after
	}
	if len(f.columns) == 0 {
		return errors.New("the first line names no columns")
	}
	return nil
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

// newTextColumn parses the part between parentheses.
func newTextColumn(name, inner string) (textColumn, error) {
	kind, flag, flagged := strings.Cut(strings.ToLower(inner), ",")
	kind, flag = strings.TrimSpace(kind), strings.TrimSpace(flag)
	c := textColumn{name: strings.ToLower(name), null: strings.HasPrefix(flag, "n"), auto: strings.HasPrefix(flag, "a")}
	switch {
	case strings.HasPrefix(kind, "s") && strings.Contains(kind, "i"):
		c.typ = "string"
	case strings.HasPrefix(kind, "s"):
		c.typ = "str"
	case strings.HasPrefix(kind, "b"):
		c.typ = "blob"
	case strings.HasPrefix(kind, "i"):
		c.typ, c.kind = "int", textInt
	case strings.HasPrefix(kind, "t"):
		c.typ, c.kind = "time", textInt
	case strings.HasPrefix(kind, "d"):
		c.typ, c.kind = "double", textDouble
	default:
		return c, fmt.Errorf("column %s has the unknown type %q: write int, double, string, str, blob or time", name, kind)
	}
	if flagged && !c.null && (!c.auto || c.typ != "int") {
		return c, fmt.Errorf("column %s has the unknown mark %q: write null, or auto for an int", name, flag)
	}
	if c.kind == textString && !c.null {
		c.empty = textEmpty
	}
	return c, nil
}

// fields splits a row at its colons. A row may end early, as far as Kamailio takes the missing
// fields for empty.
func (f *textFile) fields(row []byte) [][]byte {
	out := make([][]byte, 0, len(f.columns))
	from := 0
	for i := 0; i < len(row); i++ {
		switch row[i] {
		case '\\':
			i++
		case ':':
			out = append(out, row[from:i])
			from = i + 1
		}
	}
	out = append(out, row[from:])
	for i := len(out); i < len(f.columns); i++ {
		c, last := &f.columns[i], i == len(f.columns)-1
		if last && !c.null && !c.auto || !last && c.kind != textString {
			break
		}
		out = append(out, nil)
	}
	return out
}

// values decodes a row.
func (f *textFile) values(row []byte) ([]any, error) {
	fields := f.fields(row)
	if len(fields) < len(f.columns) {
		return nil, fmt.Errorf("column %s: %d fields, but %d columns", f.columns[len(fields)].name, len(fields), len(f.columns))
	}
	if len(fields) > len(f.columns) {
		return nil, fmt.Errorf("column %d: %d fields, but %d columns", len(f.columns)+1, len(fields), len(f.columns))
	}
	values := make([]any, len(fields))
	for i := range f.columns {
		v, err := f.columns[i].decode(fields[i])
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", f.columns[i].name, err)
		}
		values[i] = v
	}
	return values, nil
}

// decode returns the value of a field: int64, float64, string or nil.
func (c *textColumn) decode(field []byte) (any, error) {
	if c.kind != textString {
		field = bytes.TrimRight(field, "\r")
	}
	switch {
	case len(field) == 0 && (c.null || c.kind != textString):
		return nil, nil
	case c.kind == textInt:
		return strconv.ParseInt(string(field), 10, 64)
	case c.kind == textDouble:
		v, err := strconv.ParseFloat(string(field), 64)
		if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
			err = fmt.Errorf("%q is not a number", field)
		}
		return v, err
	case string(field) == c.empty:
		return "", nil
	case bytes.IndexByte(field, '\\') < 0:
		return string(field), nil
	}
	text := make([]byte, 0, len(field))
	for i := 0; i < len(field); i++ {
		b := field[i]
		if b == '\\' && i+1 < len(field) {
			i++
			b = textUnescape(field[i])
		}
		text = append(text, b)
	}
	return string(text), nil
}

// textUnescape returns the character that an escape stands for: the one after the backslash,
// unless it is one of Kamailio's.
func textUnescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case '0':
		return 0
	}
	return c
}

// encode returns the field of a value.
func (c *textColumn) encode(v any) []byte {
	switch v := v.(type) {
	case nil:
		switch {
		case c.null || c.auto:
			return nil
		case c.kind == textString:
			return []byte(c.empty)
		}
		return []byte("0")
	case int64:
		return strconv.AppendInt(nil, v, 10)
	case float64:
		return strconv.AppendFloat(nil, v, 'f', 2, 64) // Kamailio does not read exponents
	}
	text := asText(v)
	if text == "" {
		return []byte(c.empty)
	}
	out := make([]byte, 0, len(text)+16)
	for _, b := range []byte(text) {
		switch b {
		case '\n':
			out = append(out, `\n`...)
		case '\r':
			out = append(out, `\r`...)
		case '\t':
			out = append(out, `\t`...)
		case 0:
			out = append(out, `\0`...)
		case '\\', ':':
			out = append(out, '\\', b)
		default:
			out = append(out, b)
		}
	}
	return out
}
