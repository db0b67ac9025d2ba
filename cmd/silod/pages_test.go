package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"silod/config"
)

// TestPagesWithFiles checks that pages of the documentation contain the files that the tests of
// e2e run with other programs of Debian, and no others, and that those of silod are valid.
func TestPagesWithFiles(t *testing.T) {
	t.Parallel()
	for _, topic := range []string{"kamailio", "proxies"} {
		t.Run(topic, func(t *testing.T) {
			t.Parallel()
			page, err := os.ReadFile("../../docs/" + topic + ".md")
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
			dir := "../../testdata/" + topic + "/"
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
		})
	}
}
