package db

import (
	"errors"
	"fmt"
	"strings"

	"silod/imc"
	"silod/silo"
)

// failure is one thing that can go wrong, as each of the packages whose stores are
// here calls it: errors.Is finds them all.
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

// busy says of an error that it may pass.
func busy(err error) error {
	if err == nil || errors.Is(err, errBusy) {
		return err
	}
	return fmt.Errorf("%w: %w", errBusy, err)
}

// oneLine is the text of an error that may be several.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
