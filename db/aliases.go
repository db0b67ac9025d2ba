package db

import (
	"context"
	"fmt"

	"silod/sip"
)

// Aliases tells whether a user has another address, as Kamailio's table dbaliases
// says. silod does not make that table: where there is none, nobody has.
func (db *DB) Aliases(ctx context.Context, user, alias sip.AoR) (bool, error) {
	if !db.aliases.Load() {
		info, err := db.d.columns(ctx, db.read, "dbaliases")
		if err != nil {
			return false, fmt.Errorf("look at table dbaliases: %w", busy(err))
		}
		if info == nil {
			return false, nil
		}
		db.aliases.Store(true)
	}
	rows, err := db.query(ctx, `SELECT alias_username, alias_domain, username, domain FROM dbaliases
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
