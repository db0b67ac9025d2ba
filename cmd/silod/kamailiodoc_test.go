package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"silod/config"
)

// TestKamailioDoc checks that docs/kamailio.md contains the files that the tests of e2e run
// beside Debian's Kamailio, and that those of silod are valid.
func TestKamailioDoc(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/kamailio.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for i, part := range strings.Split(string(page), "```") {
		if i%2 == 1 {
			_, text, _ := strings.Cut(part, "\n") // without the language
			blocks = append(blocks, text)
		}
	}
	const dir = "../../testdata/kamailio/"
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != len(blocks) {
		t.Errorf("%d files in %s, %d on the page: %v", len(files), dir, len(blocks), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(dir + f.Name())
		if err != nil || !slices.Contains(blocks, string(text)) {
			t.Errorf("%s is not on the page as it is: %v", f.Name(), err)
		}
		if !strings.HasSuffix(f.Name(), ".toml") {
			continue
		}
		cfg, err := config.Parse(f.Name(), text, config.Dirs{State: t.TempDir(), Runtime: t.TempDir()})
		if err != nil {
			t.Error(err)
		} else if notes := cfg.Notes(); len(notes) > 0 {
			t.Errorf("%s has %v", f.Name(), notes)
		}
	}
}
