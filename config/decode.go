package config

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxProblems is the number of problems that are listed. A file with more is probably
// not a configuration of silod.
const maxProblems = 50

// A decoder reads a file into a Config and continues after a problem.
type decoder struct {
	md       toml.MetaData
	data     []byte
	above    int // lines of the file before data
	lines    map[string]int
	problems []Problem
}

// A table is a TOML table whose values are decoded one by one, so that a problem with
// one value does not hide those with others.
type table = map[string]toml.Primitive

// decode sets the keys in data and returns the problems that it found. A key with a
// problem keeps its default.
func (c *Config) decode(data []byte) []Problem {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // a byte order mark, which some editors write
	d := &decoder{data: data, lines: map[string]int{}}
	c.lines = d.lines
	var sections table
	var err error
	if d.md, err = toml.Decode(string(data), &sections); err != nil {
		return []Problem{d.syntax(err)}
	}
	d.sections(c, sections)
	return d.problems
}

func (d *decoder) sections(c *Config, sections table) {
	known := map[string]map[string]field{}
	for f := range c.fields() {
		section, name, _ := strings.Cut(f.key, ".")
		if known[section] == nil {
			known[section] = map[string]field{}
		}
		known[section][name] = f
	}
	for _, name := range d.fileOrder("", sections) {
		if len(d.problems) > maxProblems {
			return
		}
		if known[name] == nil {
			d.report(name, sections[name], unknownSection(name))
			continue
		}
		keys, ok := d.table(sections[name])
		if !ok {
			d.report(name, sections[name], "expected a section: ["+name+"]")
			continue
		}
		for _, k := range d.fileOrder(name, keys) {
			f, ok := known[name][k]
			if !ok {
				d.report(name+"."+quoteKey(k), keys[k], unknownKey(name, k))
				continue
			}
			d.value(f, keys[k])
		}
	}
}

// value sets the field f.
func (d *decoder) value(f field, p toml.Primitive) {
	if f.isTables() {
		d.tables(f, p)
		return
	}
	d.lines[f.key] = d.line(p)
	var v any
	if err := d.md.PrimitiveDecode(p, &v); err != nil {
		d.report(f.key, p, err.Error())
		return
	}
	if keys, ok := d.table(p); ok {
		for k, e := range keys { // imc.texts
			d.lines[f.key+"."+quoteKey(k)] = d.line(e)
		}
	}
	if err := f.set(v); err != nil {
		d.report(f.key, p, err.Error())
	}
}

// table returns the keys and values of a table; ok is false if p is not a table. That is
// checked first, because the library decodes any other value to an empty map.
func (d *decoder) table(p toml.Primitive) (keys table, ok bool) {
	var v any
	if d.md.PrimitiveDecode(p, &v) != nil {
		return nil, false
	}
	if _, ok := v.(map[string]any); !ok {
		return nil, false
	}
	return keys, d.md.PrimitiveDecode(p, &keys) == nil
}

func (d *decoder) report(key string, p toml.Primitive, text string) {
	switch n := len(d.problems); {
	case n < maxProblems:
		d.problems = append(d.problems, Problem{Key: key, Line: d.line(p), Text: text})
	case n == maxProblems:
		d.problems = append(d.problems, Problem{Line: d.line(p), Text: "and more: is this a silod.toml?"})
	}
}

// fileOrder returns the keys of t in the order of the file; t is a section, or the
// whole file if section is "".
func (d *decoder) fileOrder(section string, t table) []string {
	place, depth := map[string]int{}, 0
	if section != "" {
		depth = 1
	}
	for i, k := range d.md.Keys() {
		if len(k) <= depth || depth == 1 && k[0] != section {
			continue
		}
		if _, ok := place[k[depth]]; !ok {
			place[k[depth]] = i
		}
	}
	return slices.SortedFunc(maps.Keys(t), func(a, b string) int { return place[a] - place[b] })
}

// line returns the line on which a value begins, 0 for a table without a line of its own.
// The library reports positions only with the error of an Unmarshaler, and for a string
// of several lines it reports the last, so the line is counted from the offset.
func (d *decoder) line(p toml.Primitive) int {
	at, ok := errors.AsType[toml.ParseError](d.md.PrimitiveDecode(p, positionProbe{}))
	if !ok || at.Position.Line == 0 {
		return 0
	}
	return d.above + 1 + bytes.Count(d.data[:min(at.Position.Start, len(d.data))], []byte("\n"))
}

// A positionProbe rejects every value, for the position in the error: see line.
type positionProbe struct{}

var errProbe = errors.New("rejected")

func (positionProbe) UnmarshalTOML(any) error { return errProbe }

// syntax converts an error of the library to a Problem.
func (d *decoder) syntax(err error) Problem {
	e, ok := errors.AsType[toml.ParseError](err)
	if !ok {
		return Problem{Text: err.Error()}
	}
	text := e.Message
	if strings.Contains(text, "leading zeroes") {
		text += `; write an octal number as 0o660 or "0660"`
	}
	return Problem{Key: e.LastKey, Line: e.Position.Line, Text: text}
}

// quoteKey returns a key in TOML's form, quoted if necessary.
func quoteKey(k string) string { return toml.Key{k}.String() }

func unknownSection(name string) string {
	var known []string
	best := nearest(name, func(yield func(string) bool) {
		for s := range reflect.TypeFor[Config]().Fields() {
			if section := s.Tag.Get("toml"); section != "" {
				known = append(known, "["+section+"]")
				if !yield(section) {
					return
				}
			}
		}
	})
	for f := range defaults().fields() { // a key at the top, outside its section
		if _, key, _ := strings.Cut(f.key, "."); key == name {
			return "unknown section; did you mean " + f.key + "?"
		}
	}
	if best != "" {
		return fmt.Sprintf("unknown section; did you mean [%s]?", best)
	}
	return "unknown section; there are " + strings.Join(known, " ")
}

// unknownKey returns the text of a problem. It suggests the same key of another section,
// or the most similar key of this one.
func unknownKey(section, name string) string {
	const text = "unknown key"
	all := defaults().fields()
	for f := range all {
		if s, key, _ := strings.Cut(f.key, "."); s != section && key == name {
			return text + "; did you mean " + f.key + "?"
		}
	}
	best := nearest(name, func(yield func(string) bool) {
		for f := range all {
			if s, key, _ := strings.Cut(f.key, "."); s == section && !yield(key) {
				return
			}
		}
	})
	if best != "" {
		return text + "; did you mean " + section + "." + best + "?"
	}
	return text + `; "silod config" prints all`
}
