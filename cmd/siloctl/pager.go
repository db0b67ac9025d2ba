package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// pager returns the shell command of the pager: $PAGER, or less if that is not set. It returns "" if
// $PAGER is empty or there is no less.
func pager() string {
	if p, set := os.LookupEnv("PAGER"); set {
		return p
	}
	if _, err := exec.LookPath("less"); err == nil {
		return "less"
	}
	return ""
}

// paged runs f. Its output goes through the pager if input and output are a terminal.
func (a *app) paged(ctx context.Context, f func() error) error {
	program := pager()
	if program == "" || a.output != "table" || !isTerminal(a.stdout) || !isTerminal(a.in) {
		return f()
	}
	// The end of ctx must not kill the pager, which has to restore the terminal.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "sh", "-c", program)
	cmd.Stdout, cmd.Stderr = a.stdout, a.stderr
	cmd.Env = append([]string{"LESS=FRX"}, os.Environ()...) // the environment's own LESS wins; F: short lists are not paged
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start the pager: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the pager: %w", err)
	}
	out := a.out
	a.out = bufio.NewWriter(in)
	err = f()
	if flushed := a.out.Flush(); err == nil {
		err = flushed
	}
	a.out = out
	in.Close()
	if waited := cmd.Wait(); err == nil && waited != nil {
		err = fmt.Errorf("pager %s: %w; set PAGER= to print without one", program, waited)
	}
	if errors.Is(err, syscall.EPIPE) { // the user left it before the end
		return nil
	}
	return err
}
