package registrar

import (
	"context"
	"fmt"
	"time"
)

// updateTimeout limits the time from the arrival of a REGISTER to its commit. It is far below the
// 32 s after which a client gives up (Timer F).
const updateTimeout = 10 * time.Second

// lockForUpdate locks s.update. If it has to wait, it returns a context that ends updateTimeout
// after the call. After that time it returns an error: the client must not see its REGISTER
// carried out later.
func (s *shard) lockForUpdate(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if s.update.TryLock() {
		return ctx, func() {}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	s.update.Lock()
	if err := ctx.Err(); err != nil {
		s.update.Unlock()
		cancel()
		return nil, nil, fmt.Errorf("wait for another registration: %w", err)
	}
	return ctx, cancel, nil
}
