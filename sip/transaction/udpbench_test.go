package transaction

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"silod/sip"
	"silod/sip/transport"
)

// BenchmarkUDP measures requests over UDP with their answers, 64 at a time, on a listener
// with one address and on one with all. The processor time includes that of the client.
func BenchmarkUDP(b *testing.B) {
	for _, listen := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		b.Run(listen, func(b *testing.B) {
			l := newLayers(config{Listen: []transport.Endpoint{{Transport: sip.UDP, Addr: netip.MustParseAddrPort(listen)}}}, echo)
			if err := l.sockets.Listen(b.Context()); err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- l.Run(ctx) }()
			c, err := net.Dial("udp", fmt.Sprint("127.0.0.1:", l.sockets.Endpoints()[0].Addr.Port()))
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, 2000)
			before := processorTime(b)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if n%64 > 0 {
					continue
				}
				for i := range 64 {
					if _, err := c.Write([]byte(message(c, fmt.Sprintf("z9hG4bK%d-%d", n, i), extraHeaders))); err != nil {
						b.Fatal(err)
					}
				}
				_ = c.SetReadDeadline(time.Now().Add(timeout))
				for range 64 {
					if _, err := c.Read(buf); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
			_ = c.Close()
			cancel()
			if err := <-done; err != nil {
				b.Error(err)
			}
		})
	}
}

// processorTime returns the processor time of the process in nanoseconds.
func processorTime(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
