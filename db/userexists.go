package db

import (
	"context"
	"fmt"

	"silod/sip"
)

// Exists reports whether an AoR is a user of subscriber, or an alias in dbaliases.
func (st *users) Exists(ctx context.Context, a sip.AoR) (bool, error) {
	n, err := st.reader.ints(ctx, "SELECT COUNT(*) FROM subscriber s WHERE {account:1}", a.User, a.Domain)
	if err != nil {
		return false, fmt.Errorf("look up user: %w", busy(err))
	}
	if n[0] > 0 {
		return true, nil
	}
	has, err := st.findAliases(ctx)
	if err != nil || !has {
		return false, err
	}
	rows, err := st.reader.query(ctx, "SELECT alias_username, alias_domain FROM dbaliases WHERE alias_username = $1 AND alias_domain = $2",
		a.User, a.Domain)
	if err != nil {
		return false, fmt.Errorf("look up alias: %w", busy(err))
	}
	defer rows.Close()
	for rows.Next() {
		var alias sip.AoR
		if err := rows.Scan(&alias.User, &alias.Domain); err != nil {
			return false, fmt.Errorf("look up alias: %w", err)
		}
		if alias == a { // MySQL ignores case and trailing spaces
			return true, nil
		}
	}
	if err := rows.Err(); err != nil {
		return false, fmt.Errorf("look up alias: %w", busy(err))
	}
	return false, nil
}

// findAliases reports whether the table dbaliases exists. silod does not create it.
func (st *users) findAliases(ctx context.Context) (bool, error) {
	if st.hasAliases.Load() {
		return true, nil
	}
	info, err := st.layout.dialect.columns(ctx, st.reader.pool, "dbaliases")
	if err != nil {
		return false, fmt.Errorf("inspect table dbaliases: %w", busy(err))
	}
	st.hasAliases.Store(info != nil)
	return info != nil, nil
}
