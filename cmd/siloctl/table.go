package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"silod/mi"
)

// A table writes rows in aligned columns. It measures the first rows and writes every later one at
// once, so that a list of any length takes little memory. (text/tabwriter keeps all rows, and does not
// fit them to a terminal.)
type table struct {
	w      io.Writer
	width  int      // of the terminal; 0: no limit
	hide   []string // columns that are not shown
	indent string
	fold   bool // the last column continues in further lines on a terminal
	sparse bool // columns in which the measured rows have nothing, or "no", are not shown

	columns []column
	rows    [][]string // measured, not yet written
	started bool       // the widths are final, and the head is written
	any     bool       // a row was added
}

// A column has the measures of the first rows.
type column struct {
	name    string
	width   int
	numbers bool // all values are numbers, and aligned to the right
}

// Sizes of a table.
const (
	measured  = 200 // rows that determine the widths
	minColumn = 8   // a column is not cut below this
	gap       = "  "
)

// add adds a row of names and values. Columns are in the order of their first values; a column that
// is new after the measured rows is not shown.
func (t *table) add(cells []mi.Attr) error {
	t.any = true
	row := make([]string, len(t.columns))
	for _, c := range cells {
		if slices.Contains(t.hide, strings.ToLower(c.Name)) {
			continue
		}
		i := slices.IndexFunc(t.columns, func(col column) bool { return col.name == c.Name })
		if i < 0 {
			if t.started {
				continue
			}
			i = len(t.columns)
			t.columns = append(t.columns, column{name: c.Name, width: columnsOf(c.Name), numbers: true})
			row = append(row, "")
		}
		row[i] = namedCell(c.Name, c.Value)
		if !t.started {
			t.columns[i].width = max(t.columns[i].width, columnsOf(row[i]))
			t.columns[i].numbers = t.columns[i].numbers && isNumber(c.Value)
		}
	}
	if t.started {
		return t.write(row)
	}
	if t.rows = append(t.rows, row); len(t.rows) == measured {
		return t.start()
	}
	return nil
}

// flush writes the rows that are left.
func (t *table) flush() error {
	if t.started || len(t.rows) == 0 {
		return nil
	}
	return t.start()
}

// start determines the widths and writes the measured rows.
func (t *table) start() error {
	t.started = true
	if t.sparse && len(t.rows) > 0 {
		t.dropEmpty()
	}
	t.shrink()
	head := make([]string, len(t.columns))
	for i, c := range t.columns {
		head[i] = strings.ToUpper(c.name)
	}
	if err := t.write(head); err != nil {
		return err
	}
	for _, row := range t.rows {
		if err := t.write(row); err != nil {
			return err
		}
	}
	t.rows = nil
	return nil
}

// dropEmpty removes the columns in which no row has a value other than "no".
func (t *table) dropEmpty() {
	for i, c := range slices.Backward(t.columns) {
		filled := slices.ContainsFunc(t.rows, func(row []string) bool { return i < len(row) && row[i] != "" && row[i] != "no" })
		if filled {
			continue
		}
		t.hide = append(t.hide, strings.ToLower(c.name))
		t.columns = slices.Delete(t.columns, i, i+1)
		for k, row := range t.rows {
			if i < len(row) {
				t.rows[k] = slices.Delete(row, i, i+1)
			}
		}
	}
}

// shrink makes the widest columns narrower until the table fits the terminal.
func (t *table) shrink() {
	total := len(t.indent) + len(gap)*(len(t.columns)-1)
	for _, c := range t.columns {
		total += c.width
	}
	for t.width > 0 && total > t.width {
		widest := 0
		for i, c := range t.columns {
			if c.width > t.columns[widest].width {
				widest = i
			}
		}
		if t.columns[widest].width <= minColumn {
			return
		}
		t.columns[widest].width--
		total--
	}
}

// write writes one row. Cells are cut for a terminal only.
func (t *table) write(row []string) error {
	var more []string
	if last := len(row) - 1; t.fold && t.width > 0 {
		lines := foldWords(row[last], t.columns[last].width)
		row, more = append(row[:last:last], lines[0]), lines[1:]
	}
	var line strings.Builder
	start := 0 // of the last column
	line.WriteString(t.indent)
	for i, s := range row {
		c := t.columns[i]
		if t.width > 0 && (!t.fold || i < len(row)-1) {
			s = fit(s, c.width)
		}
		if i > 0 {
			line.WriteString(gap)
		}
		start = columnsOf(line.String())
		if c.numbers {
			line.WriteString(strings.Repeat(" ", max(0, c.width-columnsOf(s))) + s)
		} else {
			line.WriteString(pad(s, c.width))
		}
	}
	_, err := fmt.Fprintln(t.w, strings.TrimRight(line.String(), " "))
	for _, text := range more {
		if err == nil {
			_, err = fmt.Fprintln(t.w, strings.Repeat(" ", start)+text)
		}
	}
	return err
}

// foldWords divides a text into lines of up to a number of columns, at blanks and after each
// semicolon. A longer word, such as a name, stays whole.
func foldWords(s string, columns int) []string {
	lines := []string{""}
	for word := range strings.SplitSeq(s, " ") {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case strings.HasSuffix(*last, ";") || columnsOf(*last)+1+columnsOf(word) > columns:
			lines = append(lines, word)
		default:
			*last += " " + word
		}
	}
	return lines
}

// cell returns the text of a value.
func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case string:
		return localTime(clean(v))
	}
	return clean(fmt.Sprint(v))
}

// isNumber reports whether a value is a number.
func isNumber(v any) bool {
	switch v.(type) {
	case int, int64, float64:
		return true
	}
	return false
}
