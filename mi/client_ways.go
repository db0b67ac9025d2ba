package mi

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// deadliner is a connection or a FIFO.
type deadliner interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
}

// patientReader gives the daemon its time at every read and write, but none any
// more when ctx has ended.
type patientReader struct {
	deadliner
	ctx     context.Context
	timeout time.Duration
	stop    func() bool
}

// newPatientReader wakes a read that waits when ctx ends.
func newPatientReader(ctx context.Context, c deadliner, timeout time.Duration) *patientReader {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	return &patientReader{c, ctx, timeout, stop}
}

// patience sets the deadline of the next read or write.
func (r *patientReader) patience() error {
	var at time.Time
	if r.timeout > 0 {
		at = time.Now().Add(r.timeout)
	}
	if err := r.SetDeadline(at); err != nil {
		return err
	}
	return r.ctx.Err() // it may have set its own deadline just before
}

// Read reads what the daemon sends within its time.
func (r *patientReader) Read(p []byte) (int, error) {
	if err := r.patience(); err != nil {
		return 0, err
	}
	return r.deadliner.Read(p)
}

// send writes a request in one go: so short ones stay whole in a FIFO that others
// write to as well.
func (r *patientReader) send(call rpcCall) error {
	b, err := json.Marshal(call)
	if err == nil {
		err = r.patience()
	}
	if err == nil {
		_, err = r.Write(append(b, '\n'))
	}
	return err
}

// Close also forgets ctx.
func (r *patientReader) Close() error {
	r.stop()
	return r.deadliner.Close()
}

// overStream asks over the control socket: one connection for one command, as
// connecting costs less than keeping a broken one out of the way.
func (c *Client) overStream(ctx context.Context, call rpcCall) (io.ReadCloser, error) {
	conn, err := c.connect(ctx, "unix")
	if err != nil {
		return nil, err
	}
	r := newPatientReader(ctx, conn, c.target.Timeout)
	// A daemon with too many connections closes this one, but says so first.
	if err := r.send(call); err != nil && !errors.Is(err, syscall.EPIPE) {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// overDatagram also waits for the reply: it comes in one piece, or not at all.
func (c *Client) overDatagram(ctx context.Context, call rpcCall) (io.ReadCloser, error) {
	own, remove := clientAddr()
	defer remove()
	d := net.Dialer{LocalAddr: &net.UnixAddr{Name: own, Net: "unixgram"}}
	conn, err := d.DialContext(ctx, "unixgram", c.target.Socket)
	if err != nil {
		return nil, unreachable(c.target.Socket, err)
	}
	r := newPatientReader(ctx, conn.(*net.UnixConn), c.target.Timeout)
	defer r.Close()
	if err := r.send(call); err != nil {
		return nil, err
	}
	buf := make([]byte, 2*maxRequest)
	n, err := r.Read(buf)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(buf[:n])), nil
}

// probeFIFO tells whether somebody reads the request FIFO.
func (c *Client) probeFIFO() error {
	f, err := c.openFIFO()
	if err != nil {
		return err
	}
	return f.Close()
}

// openFIFO opens the request FIFO without waiting for its reader. A file that is
// no FIFO is left alone: a request would be appended to it.
func (c *Client) openFIFO() (*os.File, error) {
	info, err := os.Stat(c.target.FIFO)
	if err != nil {
		return nil, unreachable(c.target.FIFO, err)
	}
	if info.Mode().Type() != fs.ModeNamedPipe {
		return nil, fmt.Errorf("%w: %s is no FIFO", ErrUnreachable, c.target.FIFO)
	}
	f, err := os.OpenFile(c.target.FIFO, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, unreachable(c.target.FIFO, err)
	}
	return f, nil
}

// fifoReply reads a reply FIFO. Until the first byte it is a writer too, as there
// would be an end of file before the daemon had opened it.
type fifoReply struct {
	*os.File
	writer *os.File
}

// Read reads, and ceases to be a writer once the daemon is one.
func (r *fifoReply) Read(p []byte) (int, error) {
	n, err := r.File.Read(p)
	if n > 0 && r.writer != nil {
		_ = r.writer.Close()
		r.writer = nil
	}
	return n, err
}

// Close also removes the FIFO.
func (r *fifoReply) Close() error {
	if r.writer != nil {
		_ = r.writer.Close()
	}
	return errors.Join(os.Remove(r.Name()), r.File.Close())
}

// overFIFO asks over the request FIFO. The reader of the reply is there before the
// request is written, so that the daemon need not wait for it.
func (c *Client) overFIFO(ctx context.Context, call rpcCall) (io.ReadCloser, error) {
	out, err := c.openFIFO()
	if err != nil {
		return nil, err
	}
	request := newPatientReader(ctx, out, c.target.Timeout)
	defer request.Close()
	call.ReplyName = fmt.Sprintf("siloctl_%d_%s", os.Getpid(), rand.Text()[:10])
	in, err := makeReply(filepath.Join(c.target.ReplyDir, call.ReplyName), out)
	if err != nil {
		return nil, fmt.Errorf("make a reply FIFO: %w", err)
	}
	r := newPatientReader(ctx, in, c.target.Timeout)
	if err := request.send(call); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// makeReply makes the reply FIFO, for the daemon to write to: where it is another
// user's, as kamctl does, for anybody.
func makeReply(path string, request *os.File) (*fifoReply, error) {
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		return nil, err
	}
	in, err := openReply(path, request)
	if err != nil {
		_ = os.Remove(path)
	}
	return in, err
}

// openReply opens the FIFO that was just made, and lets the daemon write to it.
func openReply(path string, request *os.File) (*fifoReply, error) {
	info, err := request.Stat()
	if err != nil {
		return nil, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		if err := os.Chmod(path, 0o622); err != nil {
			return nil, err
		}
	}
	in, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	w, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		_ = in.Close()
		return nil, err
	}
	return &fifoReply{File: in, writer: w}, nil
}
