package auth

import (
	"context"
	"fmt"

	"silod/sip"
)

// Aliases tells whether a user may send under another address, as Kamailio's table
// dbaliases says.
type Aliases func(ctx context.Context, user, alias sip.AoR) (bool, error)

// Identity binds From to who was authenticated.
type Identity struct {
	Aliases Aliases // nil: there are none
}

// Allowed tells whether an authenticated user may send as from, or register it. The
// error says that the aliases could not be asked: the request is answered 5xx.
func (id Identity) Allowed(ctx context.Context, user, from sip.AoR) (bool, error) {
	switch {
	case user.IsZero() || from.User == "":
		return false, nil
	case user == from:
		return true, nil
	case id.Aliases == nil:
		return false, nil
	}
	ok, err := id.Aliases(ctx, user, from)
	if err != nil {
		return false, fmt.Errorf("look up aliases of %s: %w", user, err)
	}
	return ok, nil
}
