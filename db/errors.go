package db

import (
	"errors"
	"fmt"
	"strings"

	"silod/imc"
	"silod/registrar"
	"silod/silo"
)

// A failure is an error that matches, by errors.Is, the sentinel errors of several
// packages. Each package declares the errors of its store in its own terms.
type failure struct {
	text string
	as   []error
}

func (f *failure) Error() string   { return f.text }
func (f *failure) Unwrap() []error { return f.as }

var (
	errBusy    = &failure{"database is not available", []error{silo.ErrBusy, imc.ErrBusy}}
	errUnknown = &failure{"the outcome of the write is not known", []error{silo.ErrBusy, imc.ErrBusy, registrar.ErrUnknown}}
	errInvalid = &failure{"database cannot hold it", []error{silo.ErrInvalid, imc.ErrInvalid, registrar.ErrInvalid}}

	errDuplicate   = fmt.Errorf("%w: another row has the same key", errBusy)
	errNumbersUsed = fmt.Errorf("%w: %w", errBusy,
		&failure{silo.ErrNumbers.Error(), []error{silo.ErrNumbers, imc.ErrNumbers, registrar.ErrNumbers}})
)

// A refusedRow is the error of a write that the database refuses because of a value. Its text
// goes to senders, and so it has nothing of the text of the database, the cause.
type refusedRow struct{ cause error }

func (r *refusedRow) Error() string {
	reason := "the database refuses one of its values"
	if errors.Is(r.cause, errTextField) {
		reason = errTextField.Error()
	}
	return errInvalid.Error() + ": " + reason
}

func (r *refusedRow) Unwrap() error { return errInvalid }

// withCause adds the cause of a refusedRow, for an administrator.
func withCause(err error) error {
	if r, ok := errors.AsType[*refusedRow](err); ok {
		return fmt.Errorf("%w: %w", err, r.cause)
	}
	return err
}

// busy wraps an error in errBusy, unless it is one already. nil stays nil.
func busy(err error) error {
	if err == nil || errors.Is(err, errBusy) {
		return err
	}
	return fmt.Errorf("%w: %w", errBusy, err)
}

// oneLine returns the text of an error, which may be several errors, as one line.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
