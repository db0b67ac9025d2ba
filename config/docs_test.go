package config

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the generated files anew")

const sampleHead = `# The configuration of silod: all keys with their meanings and defaults.
# "silod config" prints this file, "silod check --config FILE" checks a file.
#
# A line "#key = value" shows a default. Remove the # to set the key. After a change run
# "siloctl reload" or send SIGHUP; keys marked "restart" need a restart.
#
# A duration is written "5s", "2h", "7d" or "1w"; a time in seconds, as in Kamailio's
# parameters, is a number. On is 1 or true, off is 0 or false.
#
# Relative paths of databases start at the state directory:
# $STATE_DIRECTORY, else $XDG_STATE_HOME/silod, else ~/.local/state/silod.
# Those of the FIFO and the sockets start at the runtime directory:
# $RUNTIME_DIRECTORY, else $XDG_RUNTIME_DIR/silod, else /tmp/silod-<uid>.
`

const manualHead = `# Configuration

This page is generated from the code: run ` + "`make docs`" + ` after a change.

` + "`silod --config FILE`" + ` reads a TOML file; without one, the defaults below apply. ` + "`silod config`" + ` prints
them as a file with the same descriptions, and ` + "`silod check --config FILE`" + ` prints all problems of a
file with their lines. After a change run ` + "`siloctl reload`" + ` or send SIGHUP; keys marked *restart* need a restart.

A duration is written ` + "`\"5s\"`, `\"2h\"`, `\"7d\"`, `\"1w\"`" + `; a time in seconds, as in Kamailio's
parameters, is a number. On is ` + "`1` or `true`, off is `0` or `false`" + `.

The state directory is ` + "`$STATE_DIRECTORY`, else `$XDG_STATE_HOME/silod`, else `~/.local/state/silod`" + `. The
runtime directory is ` + "`$RUNTIME_DIRECTORY`, else `$XDG_RUNTIME_DIR/silod`, else `/tmp/silod-<uid>`" + `. Relative paths
of databases start at the state directory, those of the FIFO and the sockets at the runtime directory.
`

// TestGenerated compares the sample and the manual with the code.
func TestGenerated(t *testing.T) {
	sections := document(t)
	var sample, manual strings.Builder
	sample.WriteString(sampleHead)
	manual.WriteString(manualHead)
	for _, s := range sections {
		s.writeSample(&sample)
		s.writeManual(&manual)
	}
	manual.WriteString("\n## Pseudo-variables\n\nKeys whose description mentions pseudo-variables may contain these:\n\n| | |\n|---|---|\n")
	for _, v := range Variables() {
		name := "$" + v.Name
		if v.Name == "hdr" {
			name += "(Name)"
		}
		fmt.Fprintf(&manual, "| `%s` | %s |\n", name, v.Help)
	}
	manual.WriteString("| `$$` | a dollar sign |\n\n`$(rU)` is `$rU`, if a letter follows.\n")

	for file, want := range map[string]string{
		"silod.toml": sample.String(),
		filepath.Join("..", "docs", "configuration.md"): manual.String(),
	} {
		if *update {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(file)
		if err != nil || string(got) != want {
			t.Errorf("%s is not what the code says (%v): run make docs", file, err)
		}
	}
}

// A section is a section of the documentation.
type section struct {
	name, doc string
	groups    []group
}

// A group is the keys that share a comment.
type group struct {
	doc    string
	fields []field
}

// document returns the documentation from the comments and tags of the section structs.
func document(t *testing.T) []section {
	docs := comments(t)
	var sections []section
	for s, v := range reflect.ValueOf(defaults()).Elem().Fields() {
		if name := s.Tag.Get("toml"); name != "" {
			sec := section{name: name, doc: docs[s.Type.Name()]}
			sec.add(t, docs, v)
			sections = append(sections, sec)
		}
	}
	return sections
}

// add appends the fields of a struct. A field without a comment is added to the group of
// the previous one.
func (s *section) add(t *testing.T, docs map[string]string, v reflect.Value) {
	for sf, fv := range v.Fields() {
		if sf.Anonymous {
			s.add(t, docs, fv)
			continue
		}
		f := field{s.name + "." + sf.Tag.Get("toml"), sf.Tag, fv}
		if doc := docs[v.Type().Name()+"."+sf.Name]; doc != "" {
			s.groups = append(s.groups, group{doc: doc})
		}
		if len(s.groups) == 0 {
			t.Fatalf("%s has no comment", f.key)
		}
		g := &s.groups[len(s.groups)-1]
		g.fields = append(g.fields, f)
	}
}

// comments returns the comments of the section structs and of their fields by name:
// "Silo" and "Silo.AddDate".
func comments(t *testing.T) map[string]string {
	files, err := filepath.Glob("section_*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no sections found", err)
	}
	docs := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			d, ok := decl.(*ast.GenDecl)
			if !ok || d.Tok != token.TYPE {
				continue
			}
			spec := d.Specs[0].(*ast.TypeSpec)
			_, text, _ := strings.Cut(d.Doc.Text(), " ") // "Silo configures messages for ..."
			docs[spec.Name.Name] = strings.ToUpper(text[:1]) + text[1:]
			for _, f := range spec.Type.(*ast.StructType).Fields.List {
				for _, ident := range f.Names {
					docs[spec.Name.Name+"."+ident.Name] = f.Doc.Text()
				}
			}
		}
	}
	return docs
}

func (s section) writeSample(b *strings.Builder) {
	b.WriteString("\n" + commented(s.doc) + "[" + s.name + "]\n")
	for _, g := range s.groups {
		b.WriteString("\n" + commented(g.doc))
		for _, f := range g.fields {
			if f.isTables() {
				continue // its description has an example; an empty table is not valid
			}
			if f.value.Kind() == reflect.Map {
				fmt.Fprintf(b, "#[%s]\n", f.key)
				continue
			}
			_, key, _ := strings.Cut(f.key, ".")
			fmt.Fprintf(b, "#%s = %s", key, f.format())
			if facts := f.facts(); facts != "" {
				b.WriteString("  # " + facts)
			}
			b.WriteString("\n")
		}
	}
}

func (s section) writeManual(b *strings.Builder) {
	fmt.Fprintf(b, "\n## [%s]\n\n%s", s.name, s.doc)
	for _, g := range s.groups {
		b.WriteString("\n")
		for _, f := range g.fields {
			_, key, _ := strings.Cut(f.key, ".")
			fmt.Fprintf(b, "### %s\n\n", key)
			if f.value.Kind() != reflect.Map {
				fmt.Fprintf(b, "Default: `%s`", f.format())
			}
			if facts := f.facts(); facts != "" {
				fmt.Fprintf(b, " (%s)", facts)
			}
			b.WriteString("\n\n")
		}
		b.WriteString(strings.ReplaceAll(g.doc, "\t", "    "))
	}
}

// facts returns the allowed numbers or words and what a change of the key requires.
func (f field) facts() string {
	var facts []string
	switch f.value.Interface().(type) {
	case bool, int, time.Duration:
		kind := f.expects(f.value.Type())
		facts = append(facts, strings.TrimPrefix(strings.TrimPrefix(kind, "an "), "a "))
	case string:
		if f.tag.Get("allow") != "" {
			facts = append(facts, f.expects(f.value.Type()))
		}
	}
	if why, ok := f.tag.Lookup("unused"); ok {
		facts = append(facts, "no effect: "+why)
	} else if f.tag.Get("reload") != "yes" {
		facts = append(facts, "restart")
	}
	return strings.Join(facts, "; ")
}

func commented(doc string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimRight(doc, "\n")) {
		line = strings.ReplaceAll(strings.TrimRight(line, "\n"), "\t", "    ")
		b.WriteString(strings.TrimRight("# "+line, " ") + "\n")
	}
	return b.String()
}
