package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"silod/sip"
)

// Remove removes an account by calling remove, which returns ErrUnknownUser if there is none, and all
// that its user and the user's aliases have left. An account that another program has removed
// counts as removed if its user has something left.
func (c *Census) Remove(ctx context.Context, user sip.AoR, remove func() error) error {
	c.turn.Lock()
	defer c.turn.Unlock()
	names := []sip.AoR{user}
	aliases, err := c.opt.Ledger.AliasesOf(ctx, user)
	if err != nil {
		return err
	}
	c.note(ctx, user, true)
	if err = remove(); errors.Is(err, ErrUnknownUser) && c.opt.Left(user) {
		err = nil
	}
	if err != nil {
		c.note(ctx, user, false)
		return err
	}
	for _, a := range aliases {
		has, err := c.opt.Ledger.HasAccount(ctx, a)
		if err != nil {
			c.begun[user] = true
			return err
		}
		if !has {
			names = append(names, a)
		}
	}
	var failed error
	for _, u := range names {
		failed = errors.Join(failed, c.remove(ctx, u))
	}
	if failed != nil {
		return fmt.Errorf("%w: %w", ErrLeft, failed)
	}
	return nil
}

// ErrLeft is the error of a removal that goes on in the background.
var ErrLeft = errors.New("the account is removed, but not yet all that its user has left")

// Add adds an account by calling add. The new user gets nothing that a removed account of the name
// has left.
func (c *Census) Add(ctx context.Context, user sip.AoR, add func() error) error {
	c.turn.Lock()
	defer c.turn.Unlock()
	if c.takeOver(ctx); c.opt.Left(user) || c.begun[user] {
		if err := c.clear(ctx, user); err != nil {
			return err
		}
	}
	err := add()
	if err == nil {
		delete(c.known, user)
	}
	return err
}

// clear removes what a removed account has left, unless the table of accounts is in doubt.
func (c *Census) clear(ctx context.Context, user sip.AoR) error {
	if !c.begun[user] {
		has, err := c.opt.Ledger.HasAccount(ctx, user)
		if has || err != nil {
			return err
		}
		gone, _ := c.look(ctx)
		found := false
		for _, u := range gone {
			found = found || u == user
		}
		if !found {
			return nil
		}
	}
	return c.remove(ctx, user)
}

// remove removes what a user has left, and remembers it as begun until that is complete. The caller
// holds turn.
func (c *Census) remove(ctx context.Context, u sip.AoR) error {
	c.begun[u] = true
	delete(c.known, u)
	c.note(ctx, u, true)
	if err := c.opt.Remove(ctx, u); err != nil {
		return err
	}
	delete(c.begun, u)
	c.note(ctx, u, false)
	return nil
}

// note calls Note. An error is logged only: this process completes the removal.
func (c *Census) note(ctx context.Context, u sip.AoR, begun bool) {
	if err := c.opt.Note(ctx, u, begun); err != nil {
		c.opt.Log.Error("removal of an account not noted", slog.String("user", u.String()), slog.Any("error", err))
	}
}

// takeOver adds the removals that the last process has begun. One with an account had not begun with
// it.
func (c *Census) takeOver(ctx context.Context) {
	if c.taken {
		return
	}
	for _, u := range c.opt.Begun() {
		has, err := c.opt.Ledger.HasAccount(ctx, u)
		switch {
		case err != nil:
			return
		case has:
			c.note(ctx, u, false)
		default:
			c.begun[u] = true
		}
	}
	c.taken = true
}
