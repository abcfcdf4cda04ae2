package ui

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"time"

	"outlook-monitor/internal/ooo"
)

const (
	// beatEvery is how often a process says that it is alive.
	beatEvery = 10 * time.Second
	beatTime  = 3 * time.Second
)

// thisReplica is this process, as others see it.
func thisReplica(version string) ooo.Replica {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return ooo.Replica{ID: strings.ToLower(rand.Text()[:10]), Host: host, Version: version, Since: time.Now().UTC().Truncate(time.Second)}
}

// Run stores every 10 s that this process is alive and what it does,
// until ctx ends; then all feeds end too. It may be called once.
func (u *UI) Run(ctx context.Context) error {
	defer close(u.stopped)
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		u.beat(ctx)
		select {
		case <-ctx.Done():
			leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			if err := u.cfg.Replicas.ReportStop(leaving, u.self.ID); err != nil {
				u.cfg.Log.DebugContext(ctx, "end of this replica not stored", "err", err)
			}
			return nil
		case <-tick.C:
		}
	}
}

func (u *UI) beat(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, beatTime)
	defer cancel()
	self := u.self
	self.Load = u.cfg.Meter.take(time.Now())
	if err := u.cfg.Replicas.ReportLoad(ctx, self); err != nil {
		// Those who need Redis warn.
		u.cfg.Log.DebugContext(ctx, "beat of this replica not stored", "err", err)
	}
}
