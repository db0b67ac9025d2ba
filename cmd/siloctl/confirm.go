package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

var errDeclined = errors.New("nothing was done")

// confirm asks before what cannot be undone. Where nobody can be asked, --yes is
// needed.
func (a *app) confirm(question string) error {
	if a.yes {
		return nil
	}
	if !isTerminal(a.in) {
		return usagef("%s This is only done with --yes where nobody can be asked", clean(question))
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", clean(question))
	line, err := a.stdin.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return errDeclined
}

// password reads a password: the first line of standard input, or on a terminal
// unseen and, for a new one, twice.
func (a *app) password(fromStdin bool, prompt string, isNew bool) (string, error) {
	if fromStdin || !isTerminal(a.in) {
		if !fromStdin {
			return "", usagef("a password is needed: give it with --password-stdin")
		}
		line, err := a.stdin.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", usagef("standard input holds no password")
		}
		return line, nil
	}
	first, err := a.secret(prompt)
	if err != nil || !isNew {
		return first, err
	}
	again, err := a.secret("the same again")
	if err != nil {
		return "", err
	}
	if first != again {
		return "", errors.New("the two passwords differ: nothing was done")
	}
	return first, nil
}

func (a *app) secret(prompt string) (string, error) {
	fmt.Fprintf(a.stderr, "%s: ", clean(prompt))
	b, err := term.ReadPassword(int(a.in.(*os.File).Fd()))
	fmt.Fprintln(a.stderr)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	if len(b) == 0 {
		return "", errors.New("no password: nothing was done")
	}
	return string(b), nil
}
