package db

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A textTable is a file of Kamailio's db_text: a line with the names of the columns, then
// a line for each row, its fields separated by colons.
type textTable struct {
	columns []textColumn
	rows    [][]any // int64, float64, string, or nil
}

// A textColumn is "name(type)", "name(type,null)" or "name(type,auto)".
type textColumn struct {
	name string
	kind string // "int", "double" or "string"
	null bool
	auto bool
}

// textFieldMax is the length of the longest field that Kamailio reads. It refuses a table
// with a longer one.
const textFieldMax = 16384

// errTextField is the error for a field that is longer than textFieldMax.
var errTextField = errors.New("a field of more than 16,384 bytes would make Kamailio refuse the table")

// readText parses a table.
func readText(r io.Reader) (*textTable, error) {
	br := bufio.NewReader(r)
	head, err := br.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	t := &textTable{}
	for word := range strings.FieldsSeq(head) {
		c, err := parseTextColumn(word)
		if err != nil {
			return nil, err
		}
		t.columns = append(t.columns, c)
	}
	if len(t.columns) == 0 {
		return nil, errors.New("the first line names no columns")
	}
	for line := 2; ; line++ {
		text, err := br.ReadBytes('\n')
		if text = bytes.TrimRight(text, "\r\n"); len(text) > 0 {
			row, rerr := t.parseRow(text)
			if rerr != nil {
				return nil, fmt.Errorf("line %d: %w", line, rerr)
			}
			t.rows = append(t.rows, row)
		}
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// parseTextColumn parses one word of the first line.
func parseTextColumn(word string) (textColumn, error) {
	name, rest, ok := strings.Cut(word, "(")
	rest, closed := strings.CutSuffix(rest, ")")
	if !ok || !closed || !identifier.MatchString(name) {
		return textColumn{}, fmt.Errorf("%q is not a column, write name(type)", word)
	}
	kind, flag, _ := strings.Cut(rest, ",")
	c := textColumn{name: strings.ToLower(name), null: flag == "null", auto: flag == "auto"}
	switch kind {
	case "int", "double":
		c.kind = kind
	case "string", "str", "blob":
		c.kind = "string"
	default:
		return c, fmt.Errorf("column %s has the unknown type %q", name, kind)
	}
	return c, nil
}

// parseRow splits a row at its colons and decodes the escapes.
func (t *textTable) parseRow(text []byte) ([]any, error) {
	var fields [][]byte
	field := []byte{}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == ':':
			fields = append(fields, field)
			field = []byte{}
		case c == '\\' && i+1 < len(text):
			i++
			field = append(field, textUnescape(text[i]))
		default:
			field = append(field, c)
		}
	}
	if fields = append(fields, field); len(fields) != len(t.columns) {
		return nil, fmt.Errorf("%d fields, but %d columns", len(fields), len(t.columns))
	}
	row := make([]any, len(fields))
	for i, f := range fields {
		var err error
		switch c := t.columns[i]; {
		case len(f) == 0 && (c.null || c.kind != "string"):
			row[i] = nil
		case c.kind == "int":
			row[i], err = strconv.ParseInt(string(f), 10, 64)
		case c.kind == "double":
			row[i], err = strconv.ParseFloat(string(f), 64)
		default:
			row[i] = string(f)
		}
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", t.columns[i].name, err)
		}
	}
	return row, nil
}

// textUnescape returns the character that an escape stands for: the one after the backslash.
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

// write returns the contents of the file. It returns errTextField for a field of more than
// limit bytes.
func (t *textTable) write(limit int) ([]byte, error) {
	var b bytes.Buffer
	for i, c := range t.columns {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(c.name + "(" + c.kind)
		switch {
		case c.auto:
			b.WriteString(",auto")
		case c.null:
			b.WriteString(",null")
		}
		b.WriteByte(')')
	}
	b.WriteByte('\n')
	for _, row := range t.rows {
		for i, v := range row {
			if i > 0 {
				b.WriteByte(':')
			}
			if n := writeTextField(&b, v); n > limit {
				return nil, fmt.Errorf("row %v: %w", row[0], errTextField)
			}
		}
		b.WriteByte('\n')
	}
	return b.Bytes(), nil
}

// writeTextField writes a field and returns its length.
func writeTextField(b *bytes.Buffer, v any) int {
	began := b.Len()
	switch v := v.(type) {
	case nil:
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		b.WriteString(strconv.FormatFloat(v, 'f', 2, 64)) // Kamailio does not read exponents
	default:
		for _, c := range []byte(asText(v)) {
			switch c {
			case '\n':
				b.WriteString(`\n`)
			case '\r':
				b.WriteString(`\r`)
			case '\t':
				b.WriteString(`\t`)
			case 0:
				b.WriteString(`\0`)
			case '\\', ':':
				b.WriteByte('\\')
				b.WriteByte(c)
			default:
				b.WriteByte(c)
			}
		}
	}
	return b.Len() - began
}
