package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"silod/config"
)

// TestProxiesDoc checks that docs/proxies.md contains the files that the tests of e2e run with
// Debian's nginx and HAProxy, and that silod's is valid.
func TestProxiesDoc(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/proxies.md")
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
	for _, name := range []string{"silod.toml", "nginx.conf", "haproxy.cfg"} {
		text, err := os.ReadFile("../../testdata/proxies/" + name)
		if err != nil || !slices.Contains(blocks, string(text)) {
			t.Errorf("%s is not on the page as it is: %v", name, err)
		}
		if name != "silod.toml" {
			continue
		}
		cfg, err := config.Parse(name, text, config.Dirs{State: t.TempDir(), Runtime: t.TempDir()})
		if err != nil {
			t.Error(err)
		} else if notes := cfg.Notes(); len(notes) > 0 {
			t.Errorf("%s has %v", name, notes)
		}
	}
}
