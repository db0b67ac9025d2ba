package db

import (
	"context"
	"fmt"

	"silod/sip"
)

// Aliases tells whether a user has another address, as Kamailio's table dbaliases
// says. silod does not make that table: where there is none, nobody has.
func (st *users) Aliases(ctx context.Context, user, alias sip.AoR) (bool, error) {
	if !st.hasAliases.Load() {
		info, err := st.layout.dialect.columns(ctx, st.reader.pool, "dbaliases")
		if err != nil {
			return false, fmt.Errorf("look at table dbaliases: %w", busy(err))
		}
		if info == nil {
			return false, nil
		}
		st.hasAliases.Store(true)
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
		if a == alias && u == user { // MySQL compares without case, and without spaces at the end
			return true, nil
		}
	}
	if err := rows.Err(); err != nil {
		return false, fmt.Errorf("look up alias: %w", busy(err))
	}
	return false, nil
}
