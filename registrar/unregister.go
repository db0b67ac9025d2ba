package registrar

import (
	"context"
	"errors"

	"silod/sip"
)

// RemoveAll removes all bindings of an AoR, if there are any.
func (l *Location) RemoveAll(ctx context.Context, a sip.AoR) error {
	err := l.unregister(ctx, a, func(*Binding) bool { return true })
	if errors.Is(err, errNoContact) {
		return nil
	}
	return err
}
