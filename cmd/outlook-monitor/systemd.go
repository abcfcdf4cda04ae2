package main

import (
	"context"
	"log/slog"

	"github.com/coreos/go-systemd/v22/daemon"

	"outlook-monitor/internal/schedule"
)

// notifySystemd reports the state of the service to systemd, if systemd started it.
func notifySystemd(state string, log *slog.Logger) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd not notified", "state", state, "err", err)
	}
}

// watchdog returns a task that notifies systemd's watchdog twice per WatchdogSec. It first
// calls alive, which must return soon unless the service needs a restart; an outage of
// Redis, Graph or the mediator must not block it.
func watchdog(alive func(), log *slog.Logger) task {
	return func(ctx context.Context) error {
		timeout, err := daemon.SdWatchdogEnabled(false)
		if err != nil || timeout == 0 { // not started by systemd, or without a watchdog
			return err
		}
		for {
			alive()
			notifySystemd(daemon.SdNotifyWatchdog, log)
			if !schedule.Sleep(ctx, timeout/2) {
				return nil
			}
		}
	}
}
