package phone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"silod/sip"
)

// An endpoint is the address of a server and the transport to it.
type endpoint struct {
	network string // "udp" or "tcp"
	host    string
	port    uint16
}

// parseEndpoint parses "host", "host:port", "tcp:host:port" and SIP URIs.
func parseEndpoint(s string) (endpoint, error) {
	e := endpoint{network: "udp"}
	s = strings.TrimSpace(s)
	for _, network := range []string{"udp", "tcp"} {
		if rest, ok := strings.CutPrefix(s, network+":"); ok {
			e.network, s = network, rest
		}
	}
	if !strings.HasPrefix(s, "sip:") && !strings.HasPrefix(s, "sips:") {
		s = "sip:" + s
	}
	u, err := sip.ParseURI(s)
	if err != nil {
		return e, err
	}
	if t, ok := u.Params.Get("transport"); ok {
		e.network = strings.ToLower(t)
	}
	if u.Scheme == "sips" || e.network != "udp" && e.network != "tcp" {
		return e, errors.New("only UDP and TCP are supported")
	}
	e.host, e.port = strings.Trim(u.Host, "[]"), u.Port
	if e.port == 0 {
		e.port = 5060
	}
	return e, nil
}

// addr returns the address to dial.
func (e endpoint) addr() string { return net.JoinHostPort(e.host, strconv.Itoa(int(e.port))) }

// String returns the endpoint in the form of silod's sip.listen.
func (e endpoint) String() string { return e.network + ":" + e.addr() }

// dial connects, over UDP too: the system then reports a closed port and drops
// datagrams from other addresses.
func (e endpoint) dial(ctx context.Context, local string) (net.Conn, error) {
	var d net.Dialer
	if local != "" {
		addr, err := resolveLocal(e.network, local)
		if err != nil {
			return nil, fmt.Errorf("local address %s: %w", local, err)
		}
		d.LocalAddr = addr
	}
	conn, err := d.DialContext(ctx, e.network, e.addr())
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, ctx.Err()
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w from %s", ErrTimeout, e)
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("local address %s: %w", local, cause(err))
	}
	return nil, e.unreachable(err)
}

// unreachable returns an error that wraps ErrUnreachable and the cause of err, with the
// address.
func (e endpoint) unreachable(err error) error {
	return fmt.Errorf("%w at %s: %w", ErrUnreachable, e, cause(err))
}

// resolveLocal parses a local address; without a port the system chooses one.
func resolveLocal(network, local string) (net.Addr, error) {
	if _, _, err := net.SplitHostPort(local); err != nil {
		local = net.JoinHostPort(strings.Trim(local, "[]"), "0")
	}
	if network == "tcp" {
		return net.ResolveTCPAddr(network, local)
	}
	return net.ResolveUDPAddr(network, local)
}

// cause removes the layers of an error that only repeat the address.
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if sys, ok := errors.AsType[*os.SyscallError](err); ok {
		err = sys.Err
	}
	return err
}
