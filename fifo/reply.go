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

// Write gives the client a time for each piece.
func (r *replyFIFO) Write(p []byte) (int, error) {
	if err := r.SetWriteDeadline(time.Now().Add(r.timeout)); err != nil {
		return 0, err
	}
	return r.File.Write(p)
}

// openReply opens a client's reply FIFO and makes sure that it is one: the
// directory is usually /tmp, where anybody can put anything under that name.
// Nothing is opened for writing that is not a FIFO already, and no symbolic link
// is followed; what was opened must be what was looked at, without another name
// elsewhere, and its owner somebody who may ask.
func (s *Server) openReply(ctx context.Context, name string) (*replyFIFO, error) {
	path := filepath.Join(*s.replyDir.Load(), name)
	giveUp := time.Now().Add(s.Late)
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 80*time.Millisecond) {
		before, err := os.Lstat(path)
		if err != nil {
			return nil, fmt.Errorf("find the reply FIFO: %w", err)
		}
		if before.Mode().Type() != fs.ModeNamedPipe {
			return nil, fmt.Errorf("%s is no FIFO", path)
		}
		file, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
		if err == nil {
			return s.checked(file, before)
		}
		// ENXIO: nobody reads it yet. kamctl starts its reader in the background, and
		// a busy machine may be slow in doing so.
		if !errors.Is(err, syscall.ENXIO) || time.Now().After(giveUp) {
			return nil, fmt.Errorf("open the reply FIFO: %w", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// checked takes the opened FIFO, or closes it with the reason why not.
func (s *Server) checked(file *os.File, before fs.FileInfo) (*replyFIFO, error) {
	info, err := file.Stat()
	if err == nil {
		err = s.check(info, before)
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("reply FIFO %s: %w", file.Name(), err)
	}
	peer := "fifo uid=" + strconv.FormatUint(uint64(stat(info).Uid), 10)
	return &replyFIFO{File: file, timeout: s.Timeout, peer: peer}, nil
}

// check looks at what was really opened, which may not be what was there before.
func (s *Server) check(info, before fs.FileInfo) error {
	switch {
	case info.Mode().Type() != fs.ModeNamedPipe || !os.SameFile(info, before):
		return errors.New("it was replaced while it was opened")
	case stat(info).Nlink != 1:
		return fmt.Errorf("it has %d hard links", stat(info).Nlink)
	}
	request, err := os.Lstat(s.Path)
	if err != nil {
		return fmt.Errorf("whether its owner may ask: %w", err)
	}
	if !mayAsk(stat(info), stat(request)) {
		return fmt.Errorf("its owner (uid %d) may not write to %s: change fifo_mode or fifo_group", stat(info).Uid, s.Path)
	}
	return nil
}

// stat is the part of a FileInfo that the fs package does not show.
func stat(info fs.FileInfo) *syscall.Stat_t { return info.Sys().(*syscall.Stat_t) }

// mayAsk tells whether the owner of a reply FIFO could have written the request.
// Who wrote it cannot be known, and kamctl is run by root and by other users, who
// all `chmod a+w` their reply FIFO, so its mode says nothing either. But /tmp is
// everybody's: a user without rights at the request FIFO can make FIFOs under the
// names that kamctl is going to use, and read what was meant for others. So the
// owner must be root, the daemon's user or one to whom the mode of the request
// FIFO gives the right to write; with 0666 that is anybody.
func mayAsk(reply, request *syscall.Stat_t) bool {
	switch {
	case reply.Uid == 0, reply.Uid == uint32(os.Geteuid()), reply.Uid == request.Uid:
		return true
	case request.Mode&0o002 != 0:
		return true
	case request.Mode&0o020 == 0:
		return false
	case reply.Gid == request.Gid: // in use by a process of that group, or given by one
		return true
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(reply.Uid), 10))
	if err != nil {
		return false
	}
	groups, err := u.GroupIds()
	return err == nil && slices.Contains(groups, strconv.FormatUint(uint64(request.Gid), 10))
}
