package deliver

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"outlook-monitor/internal/due"
	"outlook-monitor/internal/ooo"
)

// SyncStore lets replicas agree on who asks the mediator for its users.
type SyncStore interface {
	// Emptied says, to one replica only, that Redis lost everything.
	Emptied(ctx context.Context) (bool, error)
	// Lock returns [ooo.ErrBusy] while another replica has it.
	Lock(ctx context.Context, name string, ttl time.Duration) (unlock func(context.Context) error, err error)
	Stamp(ctx context.Context, name string) (time.Time, error)
	SetStamp(ctx context.Context, name string) error
	ClearStamp(ctx context.Context, name string) error
	Now(ctx context.Context) (time.Time, error)
}

// SyncConfig says what a [Syncer] works with.
type SyncConfig struct {
	Mediator *Mediator
	Store    SyncStore
	Synced   func(err error)                 // hears of each sync; may be nil
	Restore  func(ctx context.Context) error // puts back what only Redis knew, after it was emptied; may be nil
	Watch    time.Duration                   // how often an emptied Redis is looked for; default 7 s
	Log      *slog.Logger
}

// Syncer asks the mediator for its users: at start, on request, when Redis
// turns out to have been emptied, and when a user it named could not be stored.
type Syncer struct {
	cfg    SyncConfig
	flight singleflight.Group
	owed   atomic.Bool
}

// NewSyncer returns a syncer that is ready to Run.
func NewSyncer(cfg SyncConfig) (*Syncer, error) {
	if cfg.Mediator == nil || cfg.Store == nil {
		return nil, errors.New("deliver: Mediator and Store are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Synced == nil {
		cfg.Synced = func(error) {}
	}
	if cfg.Restore == nil {
		cfg.Restore = func(context.Context) error { return nil }
	}
	if cfg.Watch <= 0 {
		cfg.Watch = 7 * time.Second
	}
	return &Syncer{cfg: cfg}, nil
}

const (
	syncName = "sync"
	// syncLock is how long a dead process keeps others from syncing.
	syncLock = 10 * time.Second
	// together is how far apart replicas may start and still count as one start.
	together = 3 * time.Second
)

// farFuture makes no earlier sync count.
var farFuture = time.Unix(1<<40, 0)

// Sync asks the mediator for its users now. Callers at the same time share one
// call, and a caller that goes away doesn't end it for the others. Nothing is
// held meanwhile: the mediator posts its users to us before it answers.
func (s *Syncer) Sync(ctx context.Context) error {
	shared := context.WithoutCancel(ctx)
	done := s.flight.DoChan(syncName, func() (any, error) {
		err := s.cfg.Mediator.Setup(shared)
		s.cfg.Synced(err)
		if err == nil {
			err := s.cfg.Store.SetStamp(shared, syncName)
			if err != nil {
				s.cfg.Log.WarnContext(ctx, "a sync could not be noted, it may be done again", "err", err)
			}
		}
		return nil, err
	})
	select {
	case r := <-done:
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Owe makes another sync due once Redis answers: a user that the mediator named
// could not be stored, and the mediator does not look at how that is answered.
func (s *Syncer) Owe() { s.owed.Store(true) }

// Run syncs until it worked once since this start, by this replica or another,
// and again whenever Redis was emptied or [Syncer.Owe] was called, until ctx
// ends.
func (s *Syncer) Run(ctx context.Context) error {
	since := time.Time{}
	for since.IsZero() {
		now, err := s.cfg.Store.Now(ctx)
		if err == nil {
			since = now.Add(-together)
		} else if !sleep(ctx, time.Second) {
			return nil
		}
	}
	s.until(ctx, since)
	for unsynced := 0; sleep(ctx, s.cfg.Watch); {
		emptied, err := s.cfg.Store.Emptied(ctx)
		if err != nil {
			continue
		}
		if emptied {
			s.owed.Store(false)
			s.refill(ctx)
			continue
		}
		if s.owed.Swap(false) {
			s.flight.Forget(syncName) // one in flight may have posted users before
			s.until(ctx, farFuture)
			continue
		}
		// Whoever was told may be gone by now: then another fills it.
		if stamp, err := s.cfg.Store.Stamp(ctx, syncName); err != nil || !stamp.IsZero() {
			unsynced = 0
		} else if unsynced++; unsynced > 1 {
			s.until(ctx, time.Time{})
		}
	}
	return nil
}

// refill has the mediator name its users after Redis, or a part of it, was
// emptied.
func (s *Syncer) refill(ctx context.Context) {
	s.cfg.Log.WarnContext(ctx, "Redis was emptied, asking the mediator for its users again")
	if err := s.cfg.Restore(ctx); err != nil {
		s.cfg.Log.WarnContext(ctx, "what only Redis knew could not be put back", "err", err)
	}
	if err := s.cfg.Store.ClearStamp(ctx, syncName); err != nil {
		s.cfg.Log.WarnContext(ctx, "that a sync is due could not be noted", "err", err)
	}
	s.flight.Forget(syncName) // one in flight may have posted users before
	s.until(ctx, farFuture)
}

// until tries, with growing waits, until a sync at or after since has worked.
func (s *Syncer) until(ctx context.Context, since time.Time) {
	for failures := 0; ctx.Err() == nil; {
		done, err := s.once(ctx, since)
		switch {
		case done:
			return
		case errors.Is(err, ooo.ErrBusy): // another replica is at it
			sleep(ctx, time.Second)
			continue
		case err != nil && failures == 0:
			s.cfg.Log.WarnContext(ctx, "the mediator could not be asked for its users, will try on", "err", err)
		}
		failures++
		sleep(ctx, due.Backoff(failures, time.Second, 30*time.Second))
	}
}

// once syncs under a lock that replicas share, unless one since then has worked.
func (s *Syncer) once(ctx context.Context, since time.Time) (bool, error) {
	unlock, err := s.cfg.Store.Lock(ctx, syncName, syncLock)
	if err != nil {
		return false, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := unlock(ctx); err != nil {
			s.cfg.Log.DebugContext(ctx, "the sync lock will end by itself", "err", err)
		}
	}()
	stamp, err := s.cfg.Store.Stamp(ctx, syncName)
	if err != nil {
		return false, err
	}
	if stamp.After(since) {
		return true, nil
	}
	if err := s.Sync(ctx); err != nil {
		return false, err
	}
	s.cfg.Log.InfoContext(ctx, "the mediator has named its users")
	return true, nil
}

// sleep waits and says whether ctx still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
