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

// Addresses returns the users of which an address is an alias, and the aliases of these users and
// of the address itself.
func (st *users) Addresses(ctx context.Context, a sip.AoR) (accounts, aliases []sip.AoR, err error) {
	if has, err := st.findAliases(ctx); err != nil || !has {
		return nil, nil, err
	}
	if accounts, err = st.aliasesNamed(ctx, a); err != nil {
		return nil, nil, fmt.Errorf("look up alias: %w", busy(err))
	}
	for _, u := range append(slices.Clip(accounts), a) {
		cond, args := st.layout.anySpelling("username", u.User, "")
		err := st.eachAlias(ctx, cond, args, func(alias, user sip.AoR) {
			if user == u {
				aliases = append(aliases, alias)
			}
		})
		if err != nil {
			return nil, nil, fmt.Errorf("look up aliases of %s: %w", u, busy(err))
		}
	}
	return accounts, aliases, nil
}

// aliasesNamed returns the users that have an alias.
func (st *users) aliasesNamed(ctx context.Context, alias sip.AoR) (users []sip.AoR, err error) {
	cond, args := st.layout.anySpelling("alias_username", alias.User, lowerAliasesIndex)
	err = st.eachAlias(ctx, cond, args, func(a, user sip.AoR) {
		if a == alias {
			users = append(users, user)
		}
	})
	return users, err
}

// eachAlias calls f for the rows of dbaliases for which a condition holds.
func (st *users) eachAlias(ctx context.Context, cond string, args []any, f func(alias, user sip.AoR)) error {
	rows, err := st.reader.query(ctx, "SELECT alias_username, alias_domain, username, domain FROM dbaliases WHERE "+cond, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var a, u rowName
		if err := scan(rows, &a.user, &a.domain, &u.user, &u.domain); err != nil {
			return err
		}
		f(st.layout.aor(a), st.layout.aor(u))
	}
	return rows.Err()
}
