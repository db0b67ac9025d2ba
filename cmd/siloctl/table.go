package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"silod/mi"
)

// table lays rows out in columns, for people. text/tabwriter would keep every row
// until the end and knows no terminal's width; this one measures the first rows,
// then writes each row as it comes, so that a list of any length takes no memory.
type table struct {
	w      io.Writer
	width  int      // of the terminal; 0: as wide as it gets
	hide   []string // columns that are left out
	indent string

	columns []column
	rows    [][]string // measured, not yet written
	started bool
	any     bool
}

// column is what the first rows tell about one.
type column struct {
	name    string
	width   int
	numbers bool // all of them: aligned to the right
}

// The table's measures.
const (
	measured  = 200 // rows that decide how wide a column is
	minColumn = 8   // a column is not cut below this
	gap       = "  "
)

// add takes a row of names and values. Columns appear in the order in which
// they are first seen; one that is new after the first rows is not shown.
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
		row[i] = cell(c.Value)
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

// flush writes what is still there.
func (t *table) flush() error {
	if t.started || len(t.rows) == 0 {
		return nil
	}
	return t.start()
}

// start decides the widths and writes what was kept back for that.
func (t *table) start() error {
	t.started = true
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

// shrink takes from the widest columns until the table fits the terminal.
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

// write puts one row out. Only a terminal's rows are cut: a program gets all of it.
func (t *table) write(row []string) error {
	var line strings.Builder
	line.WriteString(t.indent)
	for i, s := range row {
		c := t.columns[i]
		if t.width > 0 {
			s = fit(s, c.width)
		}
		if i > 0 {
			line.WriteString(gap)
		}
		if c.numbers {
			line.WriteString(strings.Repeat(" ", max(0, c.width-columnsOf(s))) + s)
		} else {
			line.WriteString(pad(s, c.width))
		}
	}
	_, err := fmt.Fprintln(t.w, strings.TrimRight(line.String(), " "))
	return err
}

// cell shows a value.
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

// isNumber tells what is aligned to the right.
func isNumber(v any) bool {
	switch v.(type) {
	case int, int64, float64:
		return true
	}
	return false
}
