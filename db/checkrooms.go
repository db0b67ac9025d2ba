package db

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// rooms adds to the finding for imc_rooms how many rows of rooms Load would skip, and the reasons
// for the first ones.
func (c *check) rooms(ctx context.Context) error {
	l := &c.db.layout
	i := slices.IndexFunc(c.found, func(f Finding) bool { return f.Table == l.rooms.rooms.name && f.Problem == "" })
	if i < 0 || c.versions > 0 || c.missing[l.rooms.members.name] {
		return nil
	}
	skipped, listed := 0, []string{}
	loaded, err := c.db.rooms.load(ctx, func(err error) {
		if skipped++; skipped <= maxListed {
			listed = append(listed, oneLine(err))
		}
	})
	if err != nil {
		return nil //nolint:nilerr // the tables have a problem of their own, which is found elsewhere
	}
	if note := loaded.note(); note != "" {
		join(&c.found[i].Note, note)
	}
	if skipped == 0 {
		return nil
	}
	note := fmt.Sprintf("%d rows of rooms, members or cursors are not used: %s", skipped, strings.Join(listed, ", "))
	if skipped > maxListed {
		note += ", ..."
	}
	join(&c.found[i].Note, note)
	return nil
}
