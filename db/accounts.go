package db

import (
	"context"
	"fmt"
	"hash/maphash"

	"silod/auth"
	"silod/sip"
)

// accountSeed is the seed of the hashes of passwords in memory.
var accountSeed = maphash.MakeSeed()

// accountPage reads accounts in the order of the unique index on names: in db_text the numbers of all
// rows may be 0.
const accountPage = `SELECT s.id, s.username, s.domain, s.password, s.ha1 FROM subscriber s
	WHERE s.username >= $1 AND (s.username > $1 OR s.domain > $2) ORDER BY s.username, s.domain LIMIT $3`

// EachAccount implements auth.Ledger.
func (st *users) EachAccount(ctx context.Context, f func(auth.Account)) error {
	for last, full := (rowName{}), true; full; {
		page, err := st.accounts(ctx, last)
		if err != nil {
			return fmt.Errorf("read accounts: %w", busy(err))
		}
		for _, a := range page {
			f(a.Account)
		}
		if full = len(page) == pageRows; full {
			last = page[len(page)-1].name
		}
	}
	return nil
}

// An accountRow is an account with its name in the row.
type accountRow struct {
	auth.Account
	name rowName
}

// accounts returns the accounts of the page after a name.
func (st *users) accounts(ctx context.Context, last rowName) (page []accountRow, err error) {
	rows, err := st.reader.query(ctx, accountPage, last.user, last.domain, pageRows)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, user, domain, password, hash any
		if err := scan(rows, &id, &user, &domain, &password, &hash); err != nil {
			return nil, err
		}
		var h maphash.Hash
		h.SetSeed(accountSeed)
		_, _ = h.WriteString(asText(password) + "\x00" + asText(hash))
		n := rowName{asText(user), asText(domain)}
		page = append(page, accountRow{auth.Account{User: st.layout.aor(n), Row: asInt(id), Secret: h.Sum64()}, n})
	}
	return page, rows.Err()
}

// HasAccount implements auth.Ledger.
func (st *users) HasAccount(ctx context.Context, a sip.AoR) (bool, error) {
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
	owners, err := st.aliasesNamed(ctx, a)
	if err != nil {
		return false, fmt.Errorf("look up alias: %w", busy(err))
	}
	for _, u := range owners {
		if rows, err = st.find(st.reading(ctx), u); err != nil || len(rows) > 0 {
			break
		}
	}
	if err != nil {
		return false, fmt.Errorf("look up user: %w", busy(err))
	}
	return len(rows) > 0, nil
}

// AliasesOf implements auth.Ledger. The table has no index for users, so that it reads all aliases.
func (st *users) AliasesOf(ctx context.Context, user sip.AoR) (aliases []sip.AoR, err error) {
	has, err := st.findAliases(ctx)
	if err != nil || !has {
		return nil, err
	}
	rows, err := st.reader.query(ctx, "SELECT alias_username, alias_domain, username, domain FROM dbaliases")
	if err != nil {
		return nil, fmt.Errorf("read aliases: %w", busy(err))
	}
	defer rows.Close()
	for rows.Next() {
		var a, u rowName
		if err := scan(rows, &a.user, &a.domain, &u.user, &u.domain); err != nil {
			return nil, fmt.Errorf("read aliases: %w", err)
		}
		if st.layout.aor(u) == user {
			aliases = append(aliases, st.layout.aor(a))
		}
	}
	return aliases, busy(rows.Err())
}
