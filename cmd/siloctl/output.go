package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"silod/mi"
	"silod/mi/client"
)

// call is one management command to be run and shown.
type call struct {
	command string
	args    []mi.Arg
	hide    []string // columns that people rarely want; -o json has them
	none    string   // what an empty list is called, "no rooms"
}

// raw shows a reply in the daemon's own words, the refusal too.
func (a *app) raw(ctx context.Context, c call) error {
	client, err := a.daemon(ctx)
	if err != nil {
		return err
	}
	return client.Raw(ctx, a.out, c.command, c.args...)
}

// list shows a reply that is a list, entry by entry as it arrives.
func (a *app) list(ctx context.Context, c call) error {
	if a.output == "mi" {
		return a.raw(ctx, c)
	}
	client, err := a.daemon(ctx)
	if err != nil {
		return err
	}
	return a.paged(ctx, func() error { return a.entriesFrom(ctx, client, c) })
}

// entriesFrom shows a list as the daemon sends it, in the form that --output names.
func (a *app) entriesFrom(ctx context.Context, daemon *client.Client, c call) error {
	var p printer = &tablePrinter{table: table{w: a.out, width: a.width(), hide: c.hide}, a: a, none: c.none}
	if a.output == "json" {
		p = &jsonPrinter{w: a.out}
	}
	for n, err := range daemon.Stream(ctx, c.command, c.args...) {
		if err != nil {
			return err
		}
		if err := p.print(n); err != nil {
			return err
		}
	}
	return p.end()
}

// show shows a reply of any form.
func (a *app) show(ctx context.Context, c call) error {
	if a.output == "mi" {
		return a.raw(ctx, c)
	}
	n, err := a.ask(ctx, c.command, c.args...)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return writeJSON(a.out, n)
	}
	return a.tree(n, "")
}

// ask runs a command for its reply.
func (a *app) ask(ctx context.Context, command string, args ...mi.Arg) (*mi.Node, error) {
	client, err := a.daemon(ctx)
	if err != nil {
		return nil, err
	}
	n, err := client.Call(ctx, command, args...)
	if err != nil {
		return nil, err
	}
	if n == nil {
		n = &mi.Node{}
	}
	return n, nil
}

// writeJSON writes a reply as package mi has it for every JSON dialect; one that
// says nothing is an empty object.
func writeJSON(w io.Writer, n *mi.Node) error {
	if isLeaf(n) && n.Value == nil {
		_, err := fmt.Fprintln(w, "{}")
		return err
	}
	return writeLine(w, n)
}

// writeLine writes one JSON document and a line break. '<' stays '<': no browser
// will read it.
func writeLine(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// printer shows a list entry by entry.
type printer interface {
	print(*mi.Node) error
	end() error
}

// jsonPrinter writes an array, an entry a line. A list that breaks off stays
// without its end, so that nobody takes it for the whole.
type jsonPrinter struct {
	w   io.Writer
	any bool
}

func (p *jsonPrinter) print(n *mi.Node) error {
	b, err := n.MarshalJSON()
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	sep := "[\n  "
	if p.any {
		sep = ",\n  "
	}
	p.any = true
	_, err = fmt.Fprintf(p.w, "%s%s", sep, b)
	return err
}

func (p *jsonPrinter) end() error {
	s := "[]\n"
	if p.any {
		s = "\n]\n"
	}
	_, err := io.WriteString(p.w, s)
	return err
}

// tablePrinter lays entries out for people, and says so where there are none.
type tablePrinter struct {
	table
	a    *app
	none string
}

func (p *tablePrinter) print(n *mi.Node) error { return rowsOf(n, false, nil, p.add) }

func (p *tablePrinter) end() error {
	if !p.any && p.none != "" {
		p.a.note(p.none)
	}
	return p.flush()
}

// tree shows a reply of unknown form for people: names with their values in line,
// then whatever is a list, a table if its entries have columns.
func (a *app) tree(n *mi.Node, indent string) error {
	if n.List {
		return a.entriesOf(n.Nodes, false, indent)
	}
	var facts []mi.Attr
	if n.Value != nil && n.Name == "" {
		facts = append(facts, mi.Attr{Value: n.Value})
	}
	facts = append(facts, n.Attrs...)
	groups := n.Nodes[:0:0]
	for _, c := range n.Nodes {
		if isLeaf(c) {
			facts = append(facts, mi.Attr{Name: c.Name, Value: c.Value})
		} else {
			groups = append(groups, c)
		}
	}
	a.facts(facts, indent)
	if len(facts) == 0 && len(groups) > 0 && !isGroup(groups[0]) { // an object of rows
		return a.entriesOf(groups, true, indent)
	}
	for _, c := range groups {
		fmt.Fprintln(a.out, strings.TrimRight(indent+clean(c.Name)+": "+cell(c.Value), " "))
		if err := a.tree(c, indent+gap); err != nil {
			return err
		}
	}
	return nil
}

// entriesOf shows bare values one below the other, everything else as a table.
func (a *app) entriesOf(nodes []*mi.Node, named bool, indent string) error {
	if !named && !slices.ContainsFunc(nodes, func(n *mi.Node) bool { return !isLeaf(n) }) {
		for _, n := range nodes {
			a.facts([]mi.Attr{{Value: n.Value}}, indent)
		}
		return nil
	}
	t := &table{w: a.out, width: a.width(), indent: indent}
	for _, n := range nodes {
		if err := rowsOf(n, named, nil, t.add); err != nil {
			return err
		}
	}
	return t.flush()
}

// facts writes names and values, the values in line.
func (a *app) facts(facts []mi.Attr, indent string) {
	wide := 0
	for _, f := range facts {
		wide = max(wide, columnsOf(f.Name))
	}
	for _, f := range facts {
		value, label := cleanLines(factText(f.Value)), ""
		if wide > 0 {
			label = pad(clean(f.Name), wide+len(gap))
		}
		next := "\n" + indent + strings.Repeat(" ", columnsOf(label))
		value = strings.ReplaceAll(strings.TrimRight(value, "\n"), "\n", next)
		fmt.Fprintln(a.out, strings.TrimRight(indent+label+value, " "))
	}
}

// factText shows a value that may have several lines.
func factText(v any) string {
	if s, ok := v.(string); ok {
		return localTime(s)
	}
	return cell(v)
}
