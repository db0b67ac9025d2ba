//go:build !linux

package client

import (
	"crypto/rand"
	"os"
	"path/filepath"
)

func clientAddr() (name string, remove func()) {
	name = filepath.Join(os.TempDir(), "silod-client-"+rand.Text())
	return name, func() { _ = os.Remove(name) }
}
