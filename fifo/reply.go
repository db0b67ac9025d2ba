package fifo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// replyFIFO is a client's reply FIFO, open for writing.
type replyFIFO struct {
	*os.File
	timeout time.Duration
	peer    string // its owner, for the log
}

// Write writes p within the timeout.
func (r *replyFIFO) Write(p []byte) (int, error) {
	if err := r.SetWriteDeadline(time.Now().Add(r.timeout)); err != nil {
		return 0, err
	}
	return r.File.Write(p)
}

// openReply opens a client's reply FIFO for writing. The directory is usually /tmp, where any
// user can create any file under that name. So it opens only a FIFO, does not follow a
// symbolic link, and checks the opened file: it must be the same one, without further hard
// links, and of an owner that may send requests.
func (s *Server) openReply(ctx context.Context, name string) (*replyFIFO, error) {
	path := filepath.Join(*s.replyDir.Load(), name)
	deadline := time.Now().Add(s.opt.OpenTimeout)
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 80*time.Millisecond) {
		before, err := os.Lstat(path)
		if err != nil {
			return nil, fmt.Errorf("find the reply FIFO: %w", err)
		}
		if before.Mode().Type() != fs.ModeNamedPipe {
			return nil, fmt.Errorf("%s is not a FIFO", path)
		}
		file, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
		if err == nil {
			return s.checkedReply(file, before)
		}
		// ENXIO: it has not been opened for reading. kamctl starts its reader in the background, which
		// takes time on a busy machine.
		if !errors.Is(err, syscall.ENXIO) || time.Now().After(deadline) {
			return nil, fmt.Errorf("open the reply FIFO: %w", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// checkedReply returns the opened FIFO if it passes check, and else closes it.
func (s *Server) checkedReply(file *os.File, before fs.FileInfo) (*replyFIFO, error) {
	info, err := file.Stat()
	if err == nil {
		err = s.check(info, before)
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("reply FIFO %s: %w", file.Name(), err)
	}
	peer := "fifo uid=" + strconv.FormatUint(uint64(stat(info).Uid), 10)
	return &replyFIFO{File: file, timeout: s.opt.Timeout, peer: peer}, nil
}

// check returns an error unless the opened file is the FIFO that was found before, and may be
// written to.
func (s *Server) check(info, before fs.FileInfo) error {
	switch {
	case info.Mode().Type() != fs.ModeNamedPipe || !os.SameFile(info, before):
		return errors.New("it was replaced while it was opened")
	case stat(info).Nlink != 1:
		return fmt.Errorf("it has %d hard links", stat(info).Nlink)
	}
	request, err := os.Lstat(s.opt.Path)
	if err != nil {
		return fmt.Errorf("check its owner: %w", err)
	}
	if !mayAsk(stat(info), stat(request)) {
		return fmt.Errorf("its owner (uid %d) may not write to %s: change fifo_mode or fifo_group", stat(info).Uid, s.opt.Path)
	}
	return nil
}

// stat returns the owner and other attributes that package fs does not have.
func stat(info fs.FileInfo) *syscall.Stat_t { return info.Sys().(*syscall.Stat_t) }

// mayAsk reports whether the owner of a reply FIFO could have written the request. The author
// of a request is not known, and the mode of the reply FIFO says nothing, as kamctl makes it
// writable for all users. But in /tmp, a user without permission to write requests could
// create FIFOs under the names that kamctl will use next, and read the replies to other
// users. So the owner must be root, the daemon's user, or a user that may write to the
// request FIFO by its mode; with 0666 every user may.
func mayAsk(reply, request *syscall.Stat_t) bool {
	switch {
	case reply.Uid == 0, reply.Uid == uint32(os.Geteuid()), reply.Uid == request.Uid:
		return true
	case request.Mode&0o002 != 0:
		return true
	case request.Mode&0o020 == 0:
		return false
	case reply.Gid == request.Gid: // set by a process of that group
		return true
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(reply.Uid), 10))
	if err != nil {
		return false
	}
	groups, err := u.GroupIds()
	return err == nil && slices.Contains(groups, strconv.FormatUint(uint64(request.Gid), 10))
}
