package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// ioTimeout limits every read and write of a connection. A server that hangs, or that the
// network does not reach any more, keeps its connections open without an answer, and a
// context does not end that wait.
var ioTimeout = map[role]time.Duration{
	forSchema: time.Hour, forCheck: time.Hour, forSource: time.Hour, forWriting: 5 * time.Second, forReading: 10 * time.Second,
	forLocking: 5 * time.Second,
}

const (
	connectTimeout = 3 * time.Second
	readerConns    = 8
	connLife       = 5 * time.Minute // so that connections move to the new primary after a failover

	// deadAfter is the time after which a connection to a host that does not answer breaks. It
	// also ends the waits that ioTimeout does not limit, see patience.
	deadAfter = 20 * time.Second
)

// limitPool sets the size of a pool of connections to a server.
func limitPool(pool *sql.DB, r role) {
	conns := 1
	if r == forReading {
		conns = readerConns
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	pool.SetConnMaxLifetime(connLife)
}

// connectionLost reports whether an error is one of the connection, and not an answer of
// the server.
func connectionLost(err error) bool {
	var ne net.Error
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, sql.ErrConnDone) || errors.As(err, &ne) || errors.Is(err, context.DeadlineExceeded)
}

// A dialer opens connections with a time limit for every read and write.
type dialer struct {
	ioTimeout time.Duration
	patience  *patience // nil: none
}

// Dial implements pq.Dialer.
func (d dialer) Dial(network, addr string) (net.Conn, error) {
	return d.DialTimeout(network, addr, connectTimeout)
}

// DialTimeout implements pq.Dialer.
func (d dialer) DialTimeout(network, addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, addr)
}

// DialContext implements pq.DialerContext, and is the DialFunc of MySQL's driver.
func (d dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	nd := net.Dialer{Control: limitSilence, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: deadAfter / 4, Interval: deadAfter / 4, Count: 3,
	}}
	c, err := nd.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &limitedConn{Conn: c, dialer: d}, nil
}

// A limitedConn is a connection on which every read and write ends after ioTimeout.
type limitedConn struct {
	net.Conn
	dialer dialer
}

// Read implements net.Conn.
func (c *limitedConn) Read(b []byte) (int, error) {
	p := c.dialer.patience
	for {
		if err := c.SetReadDeadline(time.Now().Add(p.limit(c.dialer.ioTimeout))); err != nil {
			return 0, err
		}
		n, err := c.Conn.Read(b)
		if n > 0 || err == nil || !p.extends(err) {
			return n, err
		}
	}
}

// Write implements net.Conn.
func (c *limitedConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.dialer.ioTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// SyscallConn implements syscall.Conn, with which MySQL's driver finds out whether the server has
// closed the connection.
func (c *limitedConn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
