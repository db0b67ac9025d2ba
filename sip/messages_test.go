package sip

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// request returns a message, with the lines separated by CRLF.
func request(lines ...string) []byte {
	return []byte(strings.Join(lines, "\r\n"))
}

// torture returns the messages of RFC 4475 and RFC 5118, by name.
func torture(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "testdata", "rfc*", "*.dat"))
	if err != nil || len(files) == 0 {
		t.Fatal("no messages found", err)
	}
	messages := map[string][]byte{}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		messages[strings.TrimSuffix(filepath.Base(name), ".dat")] = raw
	}
	return messages
}

// seeds adds the messages of torture to the corpus of a fuzz test.
func seeds(f *testing.F) {
	f.Helper()
	for _, raw := range torture(f) {
		f.Add(raw)
	}
}
