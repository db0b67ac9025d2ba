package db

import (
	"errors"
	"fmt"
	"strings"

	"silod/imc"
	"silod/silo"
)

// A failure is an error under its names in several packages: errors.Is matches each.
type failure struct {
	text string
	as   []error
}

func (f *failure) Error() string   { return f.text }
func (f *failure) Unwrap() []error { return f.as }

var (
	errBusy    = &failure{"database is not available", []error{silo.ErrBusy, imc.ErrBusy}}
	errInvalid = &failure{"database cannot hold it", []error{silo.ErrInvalid, imc.ErrInvalid}}
)

// busy wraps an error in errBusy.
func busy(err error) error {
	if err == nil || errors.Is(err, errBusy) {
		return err
	}
	return fmt.Errorf("%w: %w", errBusy, err)
}

// oneLine returns the text of an error, which may be several errors, as one line.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
