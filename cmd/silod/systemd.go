package main

import (
	"context"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
)

// notifySystemd tells systemd that silod serves, that it is alive for as long as
// it is, and that it stops. Without systemd it does nothing.
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
