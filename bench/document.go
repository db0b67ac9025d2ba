package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"strings"
	"text/template"
)

//go:embed benchmark.md
var documentText string

// document writes docs/benchmark.md to path.
func (r *report) document(path string) error {
	t, err := template.New("benchmark.md").Funcs(template.FuncMap{
		"gb": func(n int64) string { return fmt.Sprintf("%.0f", float64(n)/(1<<30)) },
	}).Parse(documentText)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	data := struct {
		*report
		Modes    []documented
		Command  string
		Kamailio string
	}{report: r, Command: command(r.Arguments), Kamailio: strings.TrimSpace(kamailioConfig)}
	for _, m := range modes {
		if rows := r.rows(m.name); len(rows) > 0 {
			data.Modes = append(data.Modes, documented{m, rows})
		}
	}
	if err := t.Execute(&b, data); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// command returns the command that reproduces the results, without flags for output.
func command(args []string) string {
	var line strings.Builder
	line.WriteString("go run ./bench")
	for i := 0; i < len(args); i++ {
		name, _, joined := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		switch name {
		case "write", "out", "data", "silod":
			if !joined {
				i++
			}
		default:
			line.WriteString(" " + args[i])
		}
	}
	return line.String()
}

// A documented is a mode with its results, for the template.
type documented struct {
	*mode
	rows []row
}

// Name returns the name of the mode.
func (d documented) Name() string { return d.name }

// About returns the description of the mode.
func (d documented) About() string { return d.about }

// Unit returns what the rate counts.
func (d documented) Unit() string { return d.unit }

// Table returns the results of the mode as a Markdown table.
func (d documented) Table() string {
	var b strings.Builder
	line := func(cells []string) {
		fmt.Fprintf(&b, "| %s%s |\n", strings.Join(cells, " | "), strings.Repeat(" | ", len(columns)-len(cells)))
	}
	line(columns)
	b.WriteString("| ---" + strings.Repeat(" | ---:", len(columns)-1) + " |\n")
	for i := range d.rows {
		line(d.rows[i].cells())
	}
	for _, r := range ratios(d.rows) {
		line(r)
	}
	return b.String()
}

// Notes returns the notes on all rows.
func (d documented) Notes() (notes []string) {
	for i := range d.rows {
		for _, n := range d.rows[i].notes(d.mode) {
			notes = append(notes, d.rows[i].System+": "+n)
		}
	}
	return notes
}
