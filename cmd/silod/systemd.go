package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"silod/db"
)

// A systemd notifies systemd of the state of the daemon. Without systemd it does nothing.
type systemd struct {
	status atomic.Bool // systemd shows a status of the start
}

// A start that takes long tells systemd so every startInterval, and asks for startExtension.
const (
	startInterval  = 5 * time.Second
	startExtension = 30 * time.Second
)

// starting has systemd wait for the end of the start until the returned function is called.
func (s *systemd) starting() (end func()) {
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		t := time.NewTicker(startInterval)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				s.extend("")
			}
		}
	})
	return func() { close(done); running.Wait() }
}

// indexing shows the progress of an index that is created at the start.
func (s *systemd) indexing(p db.Indexing) {
	if p.For >= time.Second { // most indexes are created at once
		s.status.Store(true)
		s.extend("\nSTATUS=" + p.String())
	}
}

// extend asks systemd for more time.
func (s *systemd) extend(more string) {
	_, _ = sd.SdNotify(false, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d%s", startExtension.Microseconds(), more))
}

// run notifies systemd that silod is ready, keeps its watchdog informed, and notifies it when
// ctx ends.
func (s *systemd) run(ctx context.Context) error {
	ready := sd.SdNotifyReady
	if s.status.Load() {
		ready += "\nSTATUS="
	}
	if ok, err := sd.SdNotify(false, ready); err != nil || !ok {
		<-ctx.Done()
		return nil
	}
	defer func() { _, _ = sd.SdNotify(false, sd.SdNotifyStopping) }()
	every, err := sd.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		<-ctx.Done()
		return nil
	}
	t := time.NewTicker(every / 3)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			_, _ = sd.SdNotify(false, sd.SdNotifyWatchdog)
		}
	}
}
