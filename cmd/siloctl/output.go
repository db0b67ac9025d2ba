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

// A call is a management command and the way to show its reply.
type call struct {
	command string
	args    []mi.Arg
	hide    []string // columns that only -o json has
	none    string   // the text for an empty list, "no rooms"
}

// raw prints a reply, or a refusal, in the daemon's own format.
func (a *app) raw(ctx context.Context, c call) error {
	client, err := a.daemon(ctx)
	if err != nil {
		return err
	}
	return client.Raw(ctx, a.out, c.command, c.args...)
}

// list prints a reply that is a list, each entry as it arrives.
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

// entriesFrom prints the entries of a list in the format of --output.
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

// show prints a reply of any form.
func (a *app) show(ctx context.Context, c call) error {
	if a.output == "mi" {
		return a.raw(ctx, c)
	}
	n, err := a.ask(ctx, c.command, c.args...)
	if err != nil {
		return err
	}
	return a.reply(n)
}

// reply shows a reply for people or as JSON.
func (a *app) reply(n *mi.Node) error {
	if a.output == "json" {
		return writeJSON(a.out, n)
	}
	return a.tree(n, "")
}

// ask runs a command and returns its reply, which is not nil.
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

// writeJSON writes a reply in the JSON of package mi. An empty reply is an empty object.
func writeJSON(w io.Writer, n *mi.Node) error {
	if isLeaf(n) && n.Value == nil {
		_, err := fmt.Fprintln(w, "{}")
		return err
	}
	return writeLine(w, n)
}

// writeLine writes one JSON document and a line break. It does not escape for HTML.
func writeLine(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// A printer prints a list entry by entry.
type printer interface {
	print(*mi.Node) error
	end() error
}

// A jsonPrinter writes an array with an entry on each line. If the list ends with an error, the array
// is not closed, so that it does not look complete.
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

// A tablePrinter prints entries as a table, or the text for an empty list.
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

// tree prints a reply of any form for people: first the names and values, aligned, then the lists. The
// entries of a list are rows of a table if they have columns.
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

// entriesOf prints a list: each entry on a line if all are bare values, and else as a table. named adds
// the column with their names.
func (a *app) entriesOf(nodes []*mi.Node, named bool, indent string) error {
	if !named && !slices.ContainsFunc(nodes, func(n *mi.Node) bool { return !isLeaf(n) }) {
		for _, n := range nodes {
			a.facts([]mi.Attr{{Value: n.Value}}, indent)
		}
		return nil
	}
	t := &table{w: a.out, width: a.width(), indent: indent, sparse: true}
	for _, n := range nodes {
		if err := rowsOf(n, named, nil, t.add); err != nil {
			return err
		}
	}
	return t.flush()
}

// facts prints names and aligned values.
func (a *app) facts(facts []mi.Attr, indent string) {
	wide := 0
	for _, f := range facts {
		wide = max(wide, columnsOf(f.Name))
	}
	for _, f := range facts {
		value, label := cleanLines(factText(f.Name, f.Value)), ""
		if wide > 0 {
			label = pad(clean(f.Name), wide+len(gap))
		}
		next := "\n" + indent + strings.Repeat(" ", columnsOf(label))
		value = strings.ReplaceAll(strings.TrimRight(value, "\n"), "\n", next)
		fmt.Fprintln(a.out, strings.TrimRight(indent+label+value, " "))
	}
}

// factText returns the text of a value, which may have several lines.
func factText(name string, v any) string {
	if s, ok := v.(string); ok && !isName(name) {
		return localTime(s)
	}
	return namedCell(name, v)
}
