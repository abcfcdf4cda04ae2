package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifySystemd tells systemd the state of the service; without systemd it does nothing.
func notifySystemd(state string, log *slog.Logger) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd not notified", "state", state, "err", err)
	}
}

// watchdog returns a task that tells systemd's watchdog that the service is alive, twice in
// each WatchdogSec. Each time it first calls alive, which must return soon unless the
// service needs a restart: an outage of Redis, Graph or the mediator is no reason.
func watchdog(alive func(), log *slog.Logger) task {
	return func(ctx context.Context) error {
		timeout, err := daemon.SdWatchdogEnabled(false)
		if err != nil || timeout == 0 { // not by systemd, or without a watchdog
			return err
		}
		ticker := time.NewTicker(timeout / 2)
		defer ticker.Stop()
		for {
			alive()
			notifySystemd(daemon.SdNotifyWatchdog, log)
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
			}
		}
	}
}
