package imc_test

import (
	"context"
	"sync"

	"silod/imc"
	"silod/sip"
)

// gate is a Store that fails after close, as for a process that has died: calls that
// began before are committed.
type gate struct {
	imc.Store
	mu   sync.RWMutex
	shut bool
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
}

func (g *gate) pass(f func() error) error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.shut {
		return imc.ErrBusy
	}
	return f()
}

func (g *gate) Apply(ctx context.Context, c imc.Change) error {
	return g.pass(func() error { return g.Store.Apply(ctx, c) })
}

func (g *gate) SetBlock(ctx context.Context, user, target sip.AoR, on bool) error {
	return g.pass(func() error { return g.Store.SetBlock(ctx, user, target, on) })
}

func (g *gate) Append(ctx context.Context, e *imc.Entry, queued func()) error {
	return g.pass(func() error { return g.Store.Append(ctx, e, queued) })
}

func (g *gate) SaveCursors(ctx context.Context, cs []imc.Cursor) error {
	return g.pass(func() error { return g.Store.SaveCursors(ctx, cs) })
}
