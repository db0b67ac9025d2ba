package mi

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
)

// TestLacksResources checks that errors are recognised as package net wraps them.
func TestLacksResources(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{syscall.ENOBUFS, true},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("recvmmsg", syscall.ENOMEM)}, true},
		{&net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}, true},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("recvmmsg", syscall.EBADF)}, false},
		{net.ErrClosed, false},
		{os.ErrDeadlineExceeded, false},
		{errors.New("other"), false},
		{nil, false},
	} {
		if got := LacksResources(tc.err); got != tc.want {
			t.Errorf("%v: %t", tc.err, got)
		}
	}
}
