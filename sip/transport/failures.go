package transport

import (
	"errors"
	"net"
	"syscall"
	"time"

	"silod/mi"
)

const (
	maxFailures = 1000                  // consecutive errors after which a socket has failed
	retryPause  = 20 * time.Millisecond // after an error of a socket
)

// retry reports whether an operation of a listening socket is to be repeated after an error,
// and waits before that. It returns false if the socket is closed. Errors that pass, or
// that a peer can cause, never end the use of a socket. Of other errors failures counts
// those since the last success, and maxFailures of them do.
func (l *Layer) retry(err error, failures *int) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	if !passes(err) {
		if *failures++; *failures > maxFailures {
			return false
		}
	}
	l.logLimit.Do(func() { l.opt.Log.Warn("socket error", "error", err) })
	time.Sleep(retryPause)
	return true
}

// passes reports whether an error of a listening socket ends without our doing: when the
// system has resources again, or with the peer that has caused it.
func passes(err error) bool {
	for _, e := range []syscall.Errno{
		syscall.ECONNABORTED, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EHOSTDOWN, syscall.EHOSTUNREACH,
		syscall.EINTR, syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EPERM, syscall.EPROTO, syscall.ETIMEDOUT,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return mi.LacksResources(err)
}
