package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
)

// TestMain allows more parallel tests than there are processors, because tests mostly
// wait. The flag -parallel takes precedence.
func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", strconv.Itoa(parallel))
	m.Run()
}

// anyPort is sip.listen of most tests.
const anyPort = "'udp:127.0.0.1:0', 'tcp:127.0.0.1:0'"

var fixedPorts atomic.Uint32

// fixedPort returns sip.listen for a test that restarts its daemon. The port is below
// Linux's ephemeral ports, so that no other socket gets it during the restart.
func fixedPort(t *testing.T) string {
	t.Helper()
	const first, count = 20_000, 10_000
	for range count {
		port := first + (uint32(os.Getpid())*97+fixedPorts.Add(1))%count
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		u, err := net.ListenPacket("udp", addr)
		if err != nil {
			continue
		}
		_ = u.Close()
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		_ = l.Close()
		return fmt.Sprintf("'udp:%[1]s', 'tcp:%[1]s'", addr)
	}
	t.Fatal("no port is free")
	return ""
}
