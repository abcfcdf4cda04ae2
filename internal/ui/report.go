package ui

import (
	"cmp"
	"context"
	"os"
	"time"

	"outlook-monitor/internal/ooo"
)

const (
	reportInterval = 10 * time.Second
	reportTimeout  = 3 * time.Second
)

// thisReplica describes this process to the others.
func thisReplica(life, version string) ooo.Replica {
	host, _ := os.Hostname()
	return ooo.Replica{ID: life, Host: cmp.Or(host, "unknown host"), Version: version, Since: time.Now().UTC().Truncate(time.Second)}
}

// Run reports every 10 s what this process did since the last report, until ctx ends. All
// feeds end with it. It may be called once.
func (u *UI) Run(ctx context.Context) error {
	defer close(u.stopped)
	tick := time.NewTicker(reportInterval)
	defer tick.Stop()
	for {
		u.report(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (u *UI) report(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	self := u.self
	self.Load = u.cfg.Meter.take(time.Now())
	if err := u.cfg.Store.ReportLoad(ctx, self); err != nil {
		// Packages that depend on Redis log the warning.
		u.cfg.Log.DebugContext(ctx, "load report not stored", "err", err)
	}
}
