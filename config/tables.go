package config

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// isTables reports whether the field is a list of tables, such as [[sip.certificate]]. Their
// type is a struct, and its fields are keys with the tags of other keys.
func (f field) isTables() bool {
	if f.value.Kind() != reflect.Slice || f.value.Type().Elem().Kind() != reflect.Struct {
		return false
	}
	_, ok := reflect.TypeAssert[value](reflect.New(f.value.Type().Elem()))
	return !ok
}

// tableKey returns the key of a table in messages: "sip.certificate[1]" is the first.
func tableKey(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i+1) }

// keysOf returns the keys of one of the tables.
func (f field) keysOf(i int, v reflect.Value) map[string]field {
	keys := map[string]field{}
	for s, fv := range v.Fields() {
		name := s.Tag.Get("toml")
		keys[name] = field{tableKey(f.key, i) + "." + name, s.Tag, fv}
	}
	return keys
}

// formatTables returns the tables as a list of inline tables.
func (f field) formatTables() string {
	var list []string
	for i := range f.value.Len() {
		var keys []string
		for s, fv := range f.value.Index(i).Fields() {
			keys = append(keys, s.Tag.Get("toml")+" = "+field{s.Tag.Get("toml"), s.Tag, fv}.format())
		}
		list = append(list, "{"+strings.Join(keys, ", ")+"}")
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// tables sets a field that is a list of tables.
func (d *decoder) tables(f field, p toml.Primitive) {
	d.lines[f.key] = d.line(p)
	if !d.isList(p) {
		d.report(f.key, p, "expected tables: [["+f.key+"]]")
		return
	}
	parts := d.split(f.key, p)
	list := reflect.MakeSlice(f.value.Type(), len(parts), len(parts))
	for i, t := range parts {
		t.d.problems = d.problems
		t.d.tableAt(f, i, list.Index(i), t.p)
		d.problems = t.d.problems
	}
	f.value.Set(list)
}

func (d *decoder) isList(p toml.Primitive) bool {
	var v any
	if d.md.PrimitiveDecode(p, &v) != nil {
		return false
	}
	switch v.(type) {
	case []any, []map[string]any:
		return true
	}
	return false
}

// A tablePart is one table of a list, with a decoder that knows its lines.
type tablePart struct {
	d decoder
	p toml.Primitive
}

// tableAt sets the keys of table i of the field f, which has the value v.
func (d *decoder) tableAt(f field, i int, v reflect.Value, p toml.Primitive) {
	d.lines[tableKey(f.key, i)] = d.above + 1
	keys, ok := d.table(p)
	if !ok {
		d.report(tableKey(f.key, i), p, "expected a table: [["+f.key+"]]")
	}
	known := f.keysOf(i, v)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if key, ok := known[k]; ok {
			d.value(key, keys[k])
		} else {
			d.report(tableKey(f.key, i)+"."+quoteKey(k), keys[k], unknownTableKey(known, f.key, k))
		}
	}
}

// unknownTableKey is unknownKey for a key of a table.
func unknownTableKey(known map[string]field, table, name string) string {
	if best := nearest(name, maps.Keys(known)); best != "" {
		return "unknown key; did you mean " + best + "?"
	}
	return "unknown key of [[" + table + "]]"
}

// split returns the tables of a list. The library knows one position for each key, that of
// the last table. So the file is divided before each [[key]], and the parts are read on their
// own. Tables in another form, such as inline tables, have the line of the list.
func (d *decoder) split(key string, p toml.Primitive) []tablePart {
	var list []toml.Primitive
	_ = d.md.PrimitiveDecode(p, &list)
	parts := make([]tablePart, len(list))
	section, name, _ := strings.Cut(key, ".")
	header := regexp.MustCompile(`(?m)^[ \t]*\[\[[ \t]*` + section + `[ \t]*\.[ \t]*` + name + `[ \t]*\]\]`)
	starts := header.FindAllIndex(d.data, -1)
	for i := range parts {
		parts[i] = tablePart{decoder{md: d.md, data: d.data, lines: d.lines, above: d.line(p) - 1}, list[i]}
		if len(starts) != len(list) {
			continue
		}
		begin, end := starts[i][0], len(d.data)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		own := decoder{data: d.data[begin:end], lines: d.lines, above: bytes.Count(d.data[:begin], []byte("\n"))}
		if only, ok := own.only(section, name); ok {
			parts[i] = tablePart{own, only}
		}
	}
	return parts
}

// only decodes data with one table of a list, and returns that.
func (d *decoder) only(section, name string) (p toml.Primitive, ok bool) {
	var sections table
	var list []toml.Primitive
	var err error
	if d.md, err = toml.Decode(string(d.data), &sections); err != nil {
		return p, false
	}
	keys, _ := d.table(sections[section])
	if err := d.md.PrimitiveDecode(keys[name], &list); err != nil || len(list) != 1 {
		return p, false
	}
	return list[0], true
}
