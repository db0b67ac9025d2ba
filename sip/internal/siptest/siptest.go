// Package siptest has messages and WebSocket frames for the tests of sip and of the layers
// above it.
package siptest

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Torture returns the messages of RFC 4475 and RFC 5118, by name. root is the path from the
// package under test to the folder that contains testdata.
func Torture(t testing.TB, root string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "testdata", "rfc*", "*.dat"))
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

// Frame returns a WebSocket frame of a client: masked, with the key 1 2 3 4. first is its
// first byte.
func Frame(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, 1, 2, 3, 4)
	for i, c := range payload {
		b = append(b, c^byte(i%4+1))
	}
	return b
}
