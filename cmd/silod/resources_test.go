package main

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A poorListener lacks memory for an hour.
type poorListener struct {
	net.Listener
	until time.Time
}

func (l poorListener) Accept() (net.Conn, error) {
	if time.Now().Before(l.until) {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.ENOBUFS)}
	}
	return nil, net.ErrClosed
}

// TestMonitoringPagesWithoutMemory checks that the daemon does not end because the system has
// no memory for a connection to the monitoring pages.
func TestMonitoringPagesWithoutMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if _, err := (patientListener{poorListener{until: start.Add(time.Hour)}}).Accept(); !errors.Is(err, net.ErrClosed) || time.Since(start) < time.Hour {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}
