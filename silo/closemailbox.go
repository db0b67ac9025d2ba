package silo

import (
	"context"
	"fmt"

	"silod/sip"
)

// RemoveMailbox deletes all messages and reminders that wait for a user.
func (s *Service) RemoveMailbox(ctx context.Context, owner sip.AoR) error {
	for {
		n, err := s.opt.Store.Purge(ctx, Query{Owner: owner, Both: true}, purgeLimit)
		s.accounts.removed(owner)
		if err != nil {
			return fmt.Errorf("delete messages for %s: %w", owner, err)
		}
		if n < purgeLimit {
			return nil
		}
	}
}
