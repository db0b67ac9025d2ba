package mi

import (
	"errors"
	"syscall"
)

// LacksResources reports whether a system call failed because the system is out of file
// descriptors or memory. The sockets of the management interface and of SIP then wait and
// try again: such an error never ends the daemon.
func LacksResources(err error) bool {
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EAGAIN} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
