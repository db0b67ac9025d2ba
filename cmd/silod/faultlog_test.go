package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// Failures that repeat fill no log; other lines are not limited.
func TestRepeatedFaultsAreOmitted(t *testing.T) {
	var out bytes.Buffer
	log := newLogger("text", new(slog.LevelVar), &out)
	at := time.Now()
	write := func(n int, level slog.Level, text string, attr slog.Attr) int {
		out.Reset()
		for range n {
			r := slog.NewRecord(at, level, text, 0)
			r.AddAttrs(attr)
			if err := log.With("room", "r").Handler().Handle(context.Background(), r); err != nil {
				t.Fatal(err)
			}
		}
		return strings.Count(out.String(), "\n")
	}
	fault := slog.Any("error", errors.New("connection refused"))
	if n := write(1000, slog.LevelError, "message not stored", fault); n != maxFaults {
		t.Errorf("%d lines", n)
	}
	if n := strings.Count(out.String(), "omit_for=1m0s"); n != 1 {
		t.Errorf("%d of %q say that others are omitted", n, out.String())
	}
	if n := write(1, slog.LevelWarn, "queue not read", fault); n != 1 {
		t.Errorf("%d lines of another kind", n)
	}
	if n := write(100, slog.LevelWarn, "source banned", slog.String("source", "192.0.2.1")); n != 100 {
		t.Errorf("%d lines that tell no failure", n)
	}
	if n := write(100, slog.LevelInfo, "request", fault); n != 100 {
		t.Errorf("%d lines of a lower level", n)
	}
	at = at.Add(faultPeriod)
	if n := write(1, slog.LevelError, "message not stored", fault); n != 1 || !strings.Contains(out.String(), "omitted=990") {
		t.Errorf("after the period: %q", out.String())
	}
}
