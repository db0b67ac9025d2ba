package main

import (
	"context"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
)

// notifySystemd notifies systemd that silod is ready, keeps its watchdog informed, and
// notifies it when ctx ends. Without systemd it does nothing.
func notifySystemd(ctx context.Context) error {
	if ok, err := sd.SdNotify(false, sd.SdNotifyReady); err != nil || !ok {
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
