package client

import "crypto/rand"

// clientAddr returns an address for the client's own datagram socket: an abstract one,
// which has no file and so no permissions that keep the daemon from replying.
func clientAddr() (name string, remove func()) {
	return "@silod-client-" + rand.Text(), func() {}
}
