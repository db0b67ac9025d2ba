package db

import (
	"context"
	"fmt"

	"silod/sip"
)

// Aliases reports whether alias is another address of the user, by Kamailio's table
// dbaliases. silod does not create that table; without it no user has an alias.
func (st *users) Aliases(ctx context.Context, user, alias sip.AoR) (bool, error) {
	if has, err := st.findAliases(ctx); err != nil || !has {
		return false, err
	}
	rows, err := st.reader.query(ctx, `SELECT alias_username, alias_domain, username, domain FROM dbaliases
		WHERE alias_username = $1 AND alias_domain = $2`, alias.User, alias.Domain)
	if err != nil {
		return false, fmt.Errorf("look up alias: %w", busy(err))
	}
	defer rows.Close()
	for rows.Next() {
		var a, u sip.AoR
		if err := rows.Scan(&a.User, &a.Domain, &u.User, &u.Domain); err != nil {
			return false, fmt.Errorf("look up alias: %w", err)
		}
		if a == alias && u == user { // MySQL ignores case and trailing spaces
			return true, nil
		}
	}
	if err := rows.Err(); err != nil {
		return false, fmt.Errorf("look up alias: %w", busy(err))
	}
	return false, nil
}
