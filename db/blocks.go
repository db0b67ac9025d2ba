package db

import (
	"context"
	"fmt"

	"silod/sip"
)

// Blocks implements imc.Store.
func (st *rooms) Blocks(ctx context.Context, f func(user, target sip.AoR), skip func(error)) error {
	const text = "SELECT username, domain, blocked_user, blocked_domain FROM silod_block"
	err := st.each(ctx, text, func(scan func(...any) error) error {
		var user rowName
		var target sip.AoR
		if err := scan(&user.user, &user.domain, &target.User, &target.Domain); err != nil {
			return fmt.Errorf("row of silod_block: %w", err)
		}
		f(st.layout.aor(user), target)
		return nil
	}, skip)
	if err != nil {
		return fmt.Errorf("load blocks: %w", busy(err))
	}
	return nil
}

// SetBlock implements imc.Store.
func (st *rooms) SetBlock(ctx context.Context, user, target sip.AoR, on bool) error {
	n := st.layout.member(user)
	if !fits(ownName, target.User) || !fits(ownName, target.Domain) || len(n.user) > keyWidth || len(n.domain) > keyWidth {
		return fmt.Errorf("block %s: %w: a name is too long", target, errInvalid)
	}
	set := func(on bool) func(*session) error {
		return func(s *session) error { return setBlock(s, n, target, on) }
	}
	o := newStep(1, set(on))
	o.undo = set(!on)
	if err := st.writer.do(ctx, o); err != nil {
		return fmt.Errorf("block %s: %w", target, err)
	}
	return nil
}

// setBlock writes or deletes a row.
func setBlock(s *session, user rowName, target sip.AoR, on bool) error {
	if on {
		return s.upsert(&blockTable, [][]any{{user.user, user.domain, target.User, target.Domain}})
	}
	return s.exec("DELETE FROM silod_block WHERE username = $1 AND domain = $2 AND blocked_user = $3 AND blocked_domain = $4",
		user.user, user.domain, target.User, target.Domain)
}

// keyWidth is the width of the names of users in silod_block.
const keyWidth = 64
