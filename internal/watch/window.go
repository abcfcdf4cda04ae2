package watch

import (
	"context"
	"errors"
	"time"

	"outlook-monitor/internal/due"
	"outlook-monitor/internal/ooo"
)

// turn decides by the clock what the last setting read means now.
func (w *Watcher) turn(ctx context.Context, clock due.Clock, claims []ooo.Claim) []ooo.Finished {
	c := claims[0]
	c.Source = ooo.SourceWindow
	for range 3 {
		user, err := w.cfg.Store.User(ctx, c.Key)
		switch {
		case errors.Is(err, ooo.ErrNotMonitored), err == nil && user.Setting == nil:
			return []ooo.Finished{{Claim: c}}
		case err != nil:
			return w.unstored(ctx, clock, c, err)
		}
		change := ooo.Change{
			Revision: user.Revision, Setting: *user.Setting, Fingerprint: user.Setting.Fingerprint(), At: clock(),
		}
		change.Decision = w.cfg.Policy.Decide(user.State, change.Setting, change.At)
		if !change.Decision.Changed {
			return []ooo.Finished{{Claim: c, Next: change.Decision.Edge}}
		}
		sequence, err := w.put(ctx, c, change)
		switch {
		case errors.Is(err, ooo.ErrStale): // a read came in between: look again
			continue
		case err != nil:
			return w.unstored(ctx, clock, c, err)
		}
		w.notice(ctx, c, user, change, sequence)
		return []ooo.Finished{{Claim: c, Next: change.Decision.Edge}}
	}
	return []ooo.Finished{{Claim: c, Next: clock().Add(100 * time.Millisecond)}}
}
