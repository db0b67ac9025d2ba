package registrar

import (
	"context"
	"fmt"
	"slices"
	"time"

	"silod/sip"
)

// Shared is the part of a store that other programs write as well, such as a Kamailio that
// uses the same table location. Package db implements it. Rows have numbers: a new row usually
// has a higher one than all others.
type Shared interface {
	// LastRow returns the highest number of a row, 0 for an empty table.
	LastRow(ctx context.Context) (int64, error)

	// Others calls f for the bindings of other programs, expired or not, in a slice of the
	// table: the rows that follow the one with the number after. It returns the number of the
	// last row of the slice; a slice without rows is the end of the table. A row that cannot be
	// read is passed to skip.
	Others(ctx context.Context, after int64, f func(sip.AoR, Binding), skip func(error)) (last int64, err error)

	// Rows does the same for the rows with some RUIDs.
	Rows(ctx context.Context, ruids []string, f func(sip.AoR, Binding), skip func(error)) error

	// DeleteExpired deletes some of the rows that expired before a time, whoever has written
	// them, and returns their number.
	DeleteExpired(ctx context.Context, before time.Time) (int, error)
}

// meet adopts the row of another program, if it has changed since it was read, or is newer than
// the binding with the same contact. It reports whether the user is reached in another way than
// before. The error is the reason why the row cannot be used, or the store's.
func (l *Location) meet(ctx context.Context, a sip.AoR, b Binding) (changed bool, err error) {
	b.Foreign = true
	s := l.shard(a)
	s.update.Lock()
	defer s.update.Unlock()
	s.mu.RLock()
	known := s.users[a]
	s.mu.RUnlock()
	u := l.newUpdate(a)
	i := slices.IndexFunc(known, func(old Binding) bool { return old.RUID == b.RUID })
	end := seenFrom(l.opt.Earlier(), b.Expires)
	expired := !end.After(u.now)
	if i >= 0 && !newer(&b, &known[i]) {
		if ended := expired && known[i].Foreign; !ended {
			return false, nil
		}
	}
	b.Expires = end
	usable := !expired && revive(&b, l.restore)
	if usable {
		if why := l.unreachable(&b); why != "" {
			usable, err = false, fmt.Errorf("contact %s of %s: %s", b.Contact, a, why)
		}
	}
	u.bindings = slices.Clone(known)
	if i < 0 {
		if !usable {
			return false, err
		}
		if i = u.find(&b); i >= 0 && !b.Modified.After(known[i].Modified) {
			return false, nil
		}
	}
	if expired {
		u.expired++
	}
	changed = i < 0 || !usable || !sameRoute(&known[i], &b)
	u.replace(i, &b, usable)
	if serr := l.commit(ctx, s, u); serr != nil {
		return false, serr
	}
	s.mu.Lock()
	delete(s.dirty, b.RUID)
	s.mu.Unlock()
	return changed, err
}

// replace replaces the binding with an index, if there is one, by one that was read, or removes
// it if that one is not usable. The row of a binding that silod has made is deleted.
func (u *update) replace(i int, b *Binding, usable bool) {
	b.UserAgent, b.Methods = intern(b.UserAgent), intern(b.Methods)
	if i < 0 {
		u.bindings = append(u.bindings, *b)
		return
	}
	old := u.bindings[i]
	u.left = append(u.left, old.Flow)
	if old.RUID != b.RUID && !old.Foreign {
		u.changes = append(u.changes, Change{AoR: u.aor, Binding: old, Removed: true})
	}
	if usable {
		u.bindings[i] = *b
	} else {
		u.bindings = slices.Delete(u.bindings, i, i+1)
	}
}

// newer reports whether a row has changed since the binding was read from it. A binding that was
// registered with silod since then is older only if the row was written after that.
func newer(row, old *Binding) bool {
	if !old.Foreign {
		return row.Modified.After(old.Modified)
	}
	return !row.Expires.Equal(old.Expires) || !row.Modified.Equal(old.Modified) || row.Contact != old.Contact ||
		row.Q != old.Q || !slices.Equal(row.Path, old.Path)
}

// sameRoute reports whether two bindings are reached in the same way.
func sameRoute(a, b *Binding) bool {
	return a.Contact == b.Contact && a.Flow == b.Flow && slices.Equal(a.Path, b.Path)
}

// gone removes a binding after another program has deleted its row, unless it was registered again
// since it was read. It reports whether it did.
func (l *Location) gone(a sip.AoR, read *Binding) bool {
	s := l.shard(a)
	s.update.Lock()
	defer s.update.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(l.removeWhere(s, a, func(b *Binding) bool {
		return b.Foreign && b.RUID == read.RUID && b.Modified.Equal(read.Modified)
	})) > 0
}

// ours returns the changes of bindings that silod has made. The row of another program's expired
// binding stays: the program may have extended it since it was read.
func ours(changes []Change) []Change {
	return slices.DeleteFunc(changes, func(c Change) bool { return c.Binding.Foreign })
}
