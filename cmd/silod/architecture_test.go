package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const projectRoot = "../../"

// architecture returns the part of docs/architecture.md under one heading.
func architecture(t *testing.T, heading string) string {
	t.Helper()
	doc, err := os.ReadFile(projectRoot + "docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, ok := strings.Cut(string(doc), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("there is no part %q", heading)
	}
	part, _, _ = strings.Cut(part, "\n## ")
	return part
}

var quoted = regexp.MustCompile("`([^`\n]+)`")

// rows returns the names in the first two columns of a table, row by row.
func rows(table string) (first, second [][]string) {
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || !strings.Contains(cells[1], "`") {
			continue
		}
		var names [2][]string
		for i := range names {
			for _, m := range quoted.FindAllStringSubmatch(cells[1+i], -1) {
				names[i] = append(names[i], m[1])
			}
		}
		first, second = append(first, names[0]), append(second, names[1])
	}
	return first, second
}

// packageImports returns the packages of this project, with those that the files of each
// import which are not tests.
func packageImports(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(projectRoot, func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != projectRoot && (name[0] == '.' || name == "testdata" || name == "bin" || name == "tools" || name == "internal"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		pkg := filepath.ToSlash(filepath.Dir(strings.TrimPrefix(path, projectRoot)))
		if _, ok := found[pkg]; !ok {
			found[pkg] = nil
		}
		if strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			imported, _ := strconv.Unquote(i.Path.Value)
			if ours, ok := strings.CutPrefix(imported, "silod/"); ok && !slices.Contains(found[pkg], ours) {
				found[pkg] = append(found[pkg], ours)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestArchitectureDoc: docs/architecture.md names every package and no other, the imports
// are those of its table, and every file that it names exists.
func TestArchitectureDoc(t *testing.T) {
	imports := packageImports(t)
	described := map[string]bool{}
	names, _ := rows(architecture(t, "Packages"))
	for _, row := range names {
		described[row[0]] = true
		if _, ok := imports[row[0]]; !ok {
			t.Errorf("there is no package %s", row[0])
		}
	}
	for pkg := range imports {
		if !described[pkg] && !strings.HasPrefix(pkg, "bench/") {
			t.Errorf("package %s is not described", pkg)
		}
	}
	ruled := map[string]bool{"cmd/silod": true, "bench": true, "e2e": true}
	packages, allowed := rows(architecture(t, "Imports"))
	for i, row := range packages {
		for _, pkg := range row {
			ruled[pkg] = true
			for _, other := range imports[pkg] {
				if !slices.Contains(allowed[i], other) {
					t.Errorf("package %s imports %s", pkg, other)
				}
			}
		}
	}
	for pkg := range described {
		if !ruled[pkg] {
			t.Errorf("the table of imports lacks %s", pkg)
		}
	}
	doc, err := os.ReadFile(projectRoot + "docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range quoted.FindAllStringSubmatch(string(doc), -1) {
		if strings.HasSuffix(m[1], ".go") {
			if _, err := os.Stat(projectRoot + m[1]); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestWalks: to follow a request through silod takes few files.
func TestWalks(t *testing.T) {
	walks := strings.Split(architecture(t, "Four walks"), "\n**")[1:]
	limits := []int{22, 22, 23, 13}
	if len(walks) != len(limits) {
		t.Fatalf("%d walks, want %d", len(walks), len(limits))
	}
	for i, walk := range walks {
		files := map[string]bool{}
		for _, m := range quoted.FindAllStringSubmatch(walk, -1) {
			if strings.HasSuffix(m[1], ".go") {
				files[m[1]] = true
			}
		}
		if n := len(files); n < 5 || n > limits[i] {
			t.Errorf("walk %d crosses %d files, want at most %d", i+1, n, limits[i])
		}
	}
}
