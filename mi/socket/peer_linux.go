package socket

import (
	"fmt"
	"net"
	"syscall"
)

// peerOf returns the peer of a connection for the log, from SO_PEERCRED.
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

// credentialSpace is the size of one sender's credentials. The buffer is not larger, so
// that the kernel drops files that are sent with them.
var credentialSpace = syscall.CmsgSpace(syscall.SizeofUcred)

// askCredentials asks the kernel to add the sender's credentials to every datagram.
func askCredentials(fd uintptr) error {
	return syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_PASSCRED, 1)
}

// senderOf returns the sender of a datagram for the log, from its control messages.
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

func credText(c *syscall.Ucred) string { return fmt.Sprintf("uid=%d pid=%d", c.Uid, c.Pid) }
