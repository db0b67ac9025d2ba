package auth

import (
	"context"
	"fmt"

	"silod/sip"
)

// Aliases reports whether a user may use another address, according to Kamailio's table
// dbaliases.
type Aliases func(ctx context.Context, user, alias sip.AoR) (bool, error)

// Identity decides which addresses an authenticated user may use. The zero Identity has
// no aliases.
type Identity struct{ aliases Aliases }

// NewIdentity returns an Identity with these aliases.
func NewIdentity(aliases Aliases) Identity { return Identity{aliases} }

// Allowed reports whether an authenticated user may send from an address, or register it.
// If the aliases cannot be looked up it returns an error, and the answer must be a 5xx.
func (id Identity) Allowed(ctx context.Context, user, from sip.AoR) (bool, error) {
	switch {
	case user.IsZero() || from.User == "":
		return false, nil
	case user == from:
		return true, nil
	case id.aliases == nil:
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	ok, err := id.aliases(ctx, user, from)
	if err != nil {
		return false, fmt.Errorf("look up aliases of %s: %w", user, err)
	}
	return ok, nil
}
