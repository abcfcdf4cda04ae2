package store

import (
	"context"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// Embedded is a Redis inside this process. Its state is gone at exit.
type Embedded struct{ server *miniredis.Miniredis }

// Embed starts a Redis inside this process, on a free loopback port.
func Embed() (*Embedded, error) {
	server := miniredis.NewMiniRedis()
	if err := server.Start(); err != nil {
		return nil, err
	}
	return &Embedded{server}, nil
}

// URL is what [Open] takes.
func (e *Embedded) URL() string { return "redis://" + e.server.Addr() }

// Run lets keys expire, which this Redis does not do by itself, until ctx ends.
func (e *Embedded) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			e.server.FastForward(time.Second)
		}
	}
}

// Close ends it, with all that it holds.
func (e *Embedded) Close() { e.server.Close() }
