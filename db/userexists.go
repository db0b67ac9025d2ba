package db

import (
	"context"
	"fmt"
	"time"

	"silod/sip"
)

// Exists reports whether an AoR is a user of subscriber, or an alias in dbaliases.
func (st *users) Exists(ctx context.Context, a sip.AoR) (bool, error) {
	rows, err := st.find(st.reading(ctx), a)
	if err != nil {
		return false, fmt.Errorf("look up user: %w", busy(err))
	}
	if len(rows) > 0 {
		return true, nil
	}
	has, err := st.findAliases(ctx)
	if err != nil || !has {
		return false, err
	}
	aliased, err := st.aliasesNamed(ctx, a)
	if err != nil {
		return false, fmt.Errorf("look up alias: %w", busy(err))
	}
	return len(aliased) > 0, nil
}

// noAliasesFor is how long the absence of dbaliases is remembered.
const noAliasesFor = 5 * time.Second

// findAliases reports whether the table dbaliases exists. silod does not create it.
func (st *users) findAliases(ctx context.Context) (bool, error) {
	if st.hasAliases.Load() {
		return true, nil
	}
	now := st.now()
	if at := st.noAliases.Load(); at != nil && now.Sub(*at).Abs() < noAliasesFor {
		return false, nil
	}
	info, err := st.layout.dialect.columns(ctx, st.reader.pool, "dbaliases")
	if err != nil {
		return false, fmt.Errorf("inspect table dbaliases: %w", busy(err))
	}
	if info == nil {
		st.noAliases.Store(&now)
	}
	st.hasAliases.Store(info != nil)
	return info != nil, nil
}
