package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"silod/fifo"
	"silod/mi"
)

// ErrUnreachable is wrapped by errors of a Client that found no daemon, or got no answer
// in time. If the daemon refuses a command, the error is an *mi.Error instead.
var ErrUnreachable = errors.New("silod cannot be reached")

// failed returns the error of a command in the words that users see.
func (c *Client) failed(ctx context.Context, command string, err error) error {
	if refusal, ok := errors.AsType[*mi.Error](err); ok {
		return refusal
	}
	switch {
	case errors.Is(err, ErrUnreachable), errors.Is(err, errOutput):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded), ctx.Err() != nil:
		return fmt.Errorf("%w: no answer to %s in time", ErrUnreachable, command)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: connection closed before the reply to %s", ErrUnreachable, command)
	}
	return fmt.Errorf("%w: %s: %w", ErrUnreachable, command, err)
}

// unreachable returns the error of opening path in the words that users see.
func unreachable(path string, err error) error {
	switch {
	case errors.Is(err, fifo.ErrNotFIFO):
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENXIO):
		return fmt.Errorf("%w: no silod is listening on %s; is it running?", ErrUnreachable, path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: permission denied for %s: join its group, or run as root", ErrUnreachable, path)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %s does not accept requests", ErrUnreachable, path)
	}
	return fmt.Errorf("%w at %s: %w", ErrUnreachable, path, err)
}
