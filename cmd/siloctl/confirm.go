package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// errDeclined is the error of a question that was not answered with yes.
var errDeclined = errors.New("nothing was done")

// confirm asks a question before a change that cannot be undone. It returns errDeclined unless the
// answer is yes, and a usageError without a terminal. With --yes it does not ask.
func (a *app) confirm(ctx context.Context, question string) error {
	if a.yes {
		return nil
	}
	if !isTerminal(a.in) {
		return usagef("%s Without a terminal, confirm with --yes", clean(question))
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", clean(question))
	line, err := readOrCancel(ctx, func() (string, error) { return a.stdin.ReadString('\n') })
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return errDeclined
}

// readOrCancel returns the result of read, or the error of ctx as soon as that has ended. read may
// block forever: its goroutine then ends with the program.
func readOrCancel(ctx context.Context, read func() (string, error)) (string, error) {
	type answer struct {
		text string
		err  error
	}
	c := make(chan answer, 1)
	go func() {
		text, err := read()
		c <- answer{text, err}
	}()
	select {
	case got := <-c:
		return got.text, got.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// password reads a password: with fromStdin the first line of standard input, and otherwise from the
// terminal, without echo, and a new one twice.
func (a *app) password(ctx context.Context, fromStdin bool, prompt string, isNew bool) (string, error) {
	if fromStdin || !isTerminal(a.in) {
		if !fromStdin {
			return "", usagef("a password is required: give it with --password-stdin")
		}
		line, err := a.stdin.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", usagef("no password on standard input")
		}
		return line, nil
	}
	first, err := a.secret(ctx, prompt)
	if err != nil || !isNew {
		return first, err
	}
	again, err := a.secret(ctx, "repeat the password")
	if err != nil {
		return "", err
	}
	if first != again {
		return "", errors.New("the two passwords differ: nothing was done")
	}
	return first, nil
}

// secret reads a line from a terminal without echo.
func (a *app) secret(ctx context.Context, prompt string) (string, error) {
	fd := int(a.in.(*os.File).Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	fmt.Fprintf(a.stderr, "%s: ", clean(prompt))
	text, err := readOrCancel(ctx, func() (string, error) {
		b, err := term.ReadPassword(fd)
		return string(b), err
	})
	fmt.Fprintln(a.stderr)
	if err != nil {
		return "", errors.Join(fmt.Errorf("read the password: %w", err), term.Restore(fd, before))
	}
	if text == "" {
		return "", errors.New("no password: nothing was done")
	}
	return text, nil
}
