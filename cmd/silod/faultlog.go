package main

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	maxFaults   = 10          // lines with the same text in a faultPeriod
	faultPeriod = time.Minute // begins with the first of them
)

// A faultLog is a slog.Handler that limits lines with the attribute error: while a database is
// away, every request and every delivery would write one. The last line before some are left
// out says so, and the next one after the period has their number.
type faultLog struct {
	next   slog.Handler
	faults *faults
}

// faults count lines by their texts, which are constants of silod.
type faults struct {
	mu     sync.Mutex
	counts map[string]faultCount
}

type faultCount struct {
	until time.Time // end of the period
	lines int
}

// Enabled implements slog.Handler.
func (l faultLog) Enabled(ctx context.Context, level slog.Level) bool {
	return l.next.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (l faultLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn || !hasError(&r) {
		return l.next.Handle(ctx, r)
	}
	lines, omitted := l.faults.add(r.Message, r.Time)
	if lines > maxFaults {
		return nil
	}
	r = r.Clone()
	if omitted > 0 {
		r.AddAttrs(slog.Int("omitted", omitted))
	}
	if lines == maxFaults {
		r.AddAttrs(slog.Duration("omit_for", faultPeriod))
	}
	return l.next.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (l faultLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return faultLog{l.next.WithAttrs(attrs), l.faults}
}

// WithGroup implements slog.Handler.
func (l faultLog) WithGroup(name string) slog.Handler {
	return faultLog{l.next.WithGroup(name), l.faults}
}

func hasError(r *slog.Record) (found bool) {
	r.Attrs(func(a slog.Attr) bool {
		found = a.Key == "error"
		return !found
	})
	return found
}

// add counts a line, and returns the number of lines in its period so far. omitted is the
// number of lines that were left out in the period before.
func (f *faults) add(text string, now time.Time) (lines, omitted int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.counts[text]
	if !now.Before(c.until) {
		omitted = max(0, c.lines-maxFaults)
		c = faultCount{until: now.Add(faultPeriod)}
	}
	c.lines++
	f.counts[text] = c
	return c.lines, omitted
}
