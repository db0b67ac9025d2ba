package db

import (
	"strings"
	"syscall"
	"time"

	sys "golang.org/x/sys/unix"
)

// limitSilence breaks a TCP connection whose peer does not acknowledge data for deadAfter.
// Keep-alives do not find that out: none are sent while data waits for its acknowledgement.
func limitSilence(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = sys.SetsockoptInt(int(fd), sys.IPPROTO_TCP, sys.TCP_USER_TIMEOUT, int(deadAfter/time.Millisecond))
	}); cerr != nil {
		return cerr
	}
	return err
}
