package fifo

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// ErrNotFIFO is wrapped by the error of Open if there is a file of another type.
var ErrNotFIFO = errors.New("is not a FIFO")

// Conn is the client's end of one exchange. It writes to the daemon's request FIFO, and reads
// from a reply FIFO that exists from MakeReply to Close.
type Conn struct {
	request *os.File
	reply   *os.File
	// writer is a second end of the reply FIFO, until the first byte has been read.
	// Without a writer, reading before the daemon has opened the FIFO would return io.EOF.
	writer *os.File
}

// Open opens the request FIFO at path. It does not wait. The error wraps fs.ErrNotExist if
// there is no file, ErrNotFIFO if it is not a FIFO, and syscall.ENXIO if no daemon reads it.
func Open(path string) (*Conn, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Type() != fs.ModeNamedPipe { // a request would be appended to a file
		return nil, fmt.Errorf("%s %w", path, ErrNotFIFO)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return &Conn{request: f}, nil
}

// MakeReply creates the reply FIFO in dir, the daemon's reply_dir, and opens it. It returns
// the FIFO's name, which the request must contain. It is called before the request is
// written, so that the daemon finds a reader.
func (c *Conn) MakeReply(dir string) (name string, err error) {
	name = fmt.Sprintf("siloctl_%d_%s", os.Getpid(), rand.Text()[:10])
	path := filepath.Join(dir, name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		return "", err
	}
	if err := c.openReply(path); err != nil {
		_ = os.Remove(path)
		return "", err
	}
	return name, nil
}

// openReply opens the new reply FIFO. If the request FIFO belongs to another user, it first
// lets all users write to the reply FIFO, as kamctl does.
func (c *Conn) openReply(path string) error {
	info, err := c.request.Stat()
	if err != nil {
		return err
	}
	if int(stat(info).Uid) != os.Geteuid() {
		if err := os.Chmod(path, 0o622); err != nil {
			return err
		}
	}
	reply, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	writer, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		_ = reply.Close()
		return err
	}
	c.reply, c.writer = reply, writer
	return nil
}

// Write writes to the request FIFO.
func (c *Conn) Write(p []byte) (int, error) { return c.request.Write(p) }

// Read reads from the reply FIFO. MakeReply must have been called.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.reply.Read(p)
	if n > 0 && c.writer != nil { // the daemon is a writer now
		_ = c.writer.Close()
		c.writer = nil
	}
	return n, err
}

// SetDeadline sets the deadline of reads and writes. After MakeReply it may be called
// concurrently with them.
func (c *Conn) SetDeadline(t time.Time) error {
	err := c.request.SetDeadline(t)
	if c.reply != nil {
		err = errors.Join(err, c.reply.SetDeadline(t))
	}
	return err
}

// Close closes both FIFOs and removes the reply FIFO.
func (c *Conn) Close() error {
	err := c.request.Close()
	if c.reply == nil {
		return err
	}
	if c.writer != nil {
		_ = c.writer.Close()
	}
	return errors.Join(err, os.Remove(c.reply.Name()), c.reply.Close())
}
