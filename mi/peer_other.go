//go:build !linux

package mi

import (
	"crypto/rand"
	"net"
	"os"
	"path/filepath"
)

func peerOf(*net.UnixConn) string { return "socket" }

const credentialSpace = 0

func askCredentials(uintptr) error { return nil }

func senderOf([]byte) string { return "socket" }

func clientAddr() (name string, remove func()) {
	name = filepath.Join(os.TempDir(), "silod-client-"+rand.Text())
	return name, func() { _ = os.Remove(name) }
}
