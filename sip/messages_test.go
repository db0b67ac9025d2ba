package sip

import (
	"strings"
	"testing"

	"silod/sip/internal/siptest"
)

// request returns a message, with the lines separated by CRLF.
func request(lines ...string) []byte {
	return []byte(strings.Join(lines, "\r\n"))
}

// seeds adds the messages of siptest.Torture to the corpus of a fuzz test.
func seeds(f *testing.F) {
	f.Helper()
	for _, raw := range siptest.Torture(f, "..") {
		f.Add(raw)
	}
}
