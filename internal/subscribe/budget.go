package subscribe

import (
	"context"
	"time"
)

// Graph takes 500 subscription writes per 20 s of one app in a tenant. The
// budget that all replicas share gives fewer in any 20 s, because Graph counts
// by its own clock: a burst of 25 and 23 a second, at most 485.
const (
	WriteRate  = 23 // a second
	WriteBurst = 25
)

// spend waits until a write may be made. Of those who wait in this process one
// asks at a time, so that waiting costs Redis little.
func (w work) spend(ctx context.Context) error {
	lane := w.lanes[w.step.kept() > 0]
	select {
	case lane <- struct{}{}:
		defer func() { <-lane }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		wait, err := w.cfg.Store.SpendWrite(ctx, w.step.kept())
		if err != nil || wait <= 0 {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
