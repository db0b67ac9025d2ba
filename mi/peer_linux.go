package mi

import (
	"crypto/rand"
	"fmt"
	"net"
	"syscall"
)

// peerOf says who is at the other end of a connection: SO_PEERCRED.
func peerOf(c *net.UnixConn) string {
	raw, err := c.SyscallConn()
	if err != nil {
		return "unknown"
	}
	peer := "unknown"
	_ = raw.Control(func(fd uintptr) {
		cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
		if err == nil {
			peer = credText(cred)
		}
	})
	return peer
}

// credentialSpace holds one sender's credentials and no more, so that the kernel
// drops any file that comes with them.
var credentialSpace = syscall.CmsgSpace(syscall.SizeofUcred)

// askCredentials has every datagram come with its sender's credentials.
func askCredentials(fd uintptr) error {
	return syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_PASSCRED, 1)
}

// senderOf reads the credentials that came with a datagram.
func senderOf(oob []byte) string {
	msgs, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return "unknown"
	}
	for i := range msgs {
		if cred, err := syscall.ParseUnixCredentials(&msgs[i]); err == nil {
			return credText(cred)
		}
	}
	return "unknown"
}

// credText is the peer as the log shows it.
func credText(c *syscall.Ucred) string { return fmt.Sprintf("uid=%d pid=%d", c.Uid, c.Pid) }

// clientAddr is an address for a client's own end of a datagram socket: one
// without a file, so that no rights stand between it and the daemon.
func clientAddr() (name string, remove func()) {
	return "@silod-client-" + rand.Text(), func() {}
}
