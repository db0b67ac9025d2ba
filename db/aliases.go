package db

import (
	"context"
	"fmt"
	"slices"

	"silod/sip"
)

// Aliases reports whether alias is another address of the user, by Kamailio's table
// dbaliases. silod does not create that table; without it no user has an alias.
func (st *users) Aliases(ctx context.Context, user, alias sip.AoR) (bool, error) {
	if has, err := st.findAliases(ctx); err != nil || !has {
		return false, err
	}
	aliases, err := st.aliasesNamed(ctx, alias)
	if err != nil {
		return false, fmt.Errorf("look up alias: %w", busy(err))
	}
	return slices.Contains(aliases, user), nil
}

// aliasesNamed returns the users that have an alias.
func (st *users) aliasesNamed(ctx context.Context, alias sip.AoR) ([]sip.AoR, error) {
	cond, args := st.layout.anySpelling("alias_username", alias.User, lowerAliasesIndex)
	rows, err := st.reader.query(ctx, "SELECT alias_username, alias_domain, username, domain FROM dbaliases WHERE "+cond, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var users []sip.AoR
	for rows.Next() {
		var a, u rowName
		if err := scan(rows, &a.user, &a.domain, &u.user, &u.domain); err != nil {
			return nil, err
		}
		if st.layout.aor(a) == alias {
			users = append(users, st.layout.aor(u))
		}
	}
	return users, rows.Err()
}
