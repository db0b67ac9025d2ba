package transport

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"silod/sip"
)

// silentTLS returns the address of a server that accepts connections and sends nothing, and
// their number.
func silentTLS(t *testing.T) (netip.AddrPort, *atomic.Int32) {
	t.Helper()
	ln, err := net.Listen("tcp", anyPort.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	accepted := new(atomic.Int32)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			t.Cleanup(func() { _ = c.Close() })
		}
	}()
	return netip.MustParseAddrPort(ln.Addr().String()), accepted
}

// fullServer returns the address of a server whose queue of connections is full, so that the
// kernel does not answer further ones.
func fullServer(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(sa.(*syscall.SockaddrInet4).Port))
	for {
		c, err := net.DialTimeout("tcp", addr.String(), 200*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { _ = c.Close() })
	}
}

// TestConnectToSilentPeer checks that an attempt to connect to a peer that does not answer,
// at once or to a TLS handshake, ends after WriteTimeout, that concurrent callers share it,
// and that each returns when its context is done.
func TestConnectToSilentPeer(t *testing.T) {
	const writeTimeout = 700 * time.Millisecond
	l := runLayer(t, Options{WriteTimeout: writeTimeout})
	silent, accepted := silentTLS(t)
	for _, target := range []Target{{sip.TLS, silent, "silent.example"}, {Transport: sip.TCP, Addr: fullServer(t)}} {
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				limit := writeTimeout + time.Second
				if i%2 == 0 {
					ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
					defer cancel()
					limit = writeTimeout - 100*time.Millisecond
				}
				f, err := l.Connect(ctx, target)
				if d := time.Since(start); err == nil || d > limit {
					t.Errorf("%s, caller %d: %s, %v after %v", target.Transport, i, f, err, d)
				}
			})
		}
		wg.Wait()
		if n := l.Open(); n != 0 {
			t.Errorf("%s: %d connections count as open", target.Transport, n)
		}
	}
	if n := accepted.Load(); n != 1 {
		t.Errorf("the callers opened %d connections", n)
	}
}

// TestConnectLeavesConnectionsToClients checks that attempts to reach peers that do not answer
// do not use all connections.
func TestConnectLeavesConnectionsToClients(t *testing.T) {
	l := runLayer(t, Options{WriteTimeout: time.Minute, MaxConnections: 80})
	silent, _ := silentTLS(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var busy atomic.Int32
	for i := range 80 {
		wg.Go(func() {
			if _, err := l.Connect(ctx, Target{sip.TLS, silent, string(rune('a' + i))}); errors.Is(err, ErrBusy) {
				busy.Add(1)
			}
		})
	}
	for end := time.Now().Add(timeout); busy.Load() < 60 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if n := l.Open(); n != 20 || busy.Load() != 60 {
		t.Errorf("%d connections are being opened, %d refused", n, busy.Load())
	}
	cancel()
	wg.Wait()
}

// runLayer runs a layer until the test ends.
func runLayer(t *testing.T, opt Options) *Layer {
	t.Helper()
	l := New(opt)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx, &jobReceiver{}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l
}
