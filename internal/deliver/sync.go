package deliver

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"outlook-monitor/internal/schedule"
)

// SyncConfig configures a [Syncer]. All of it is required.
type SyncConfig struct {
	Mediator *Mediator

	// Mark writes the sync mark, which requests a sync, into the table of owners. An existing
	// mark stays unless replace is true.
	Mark func(ctx context.Context, mark string, replace bool) error
	// Pending returns the mark as this replica last saw it, empty if there is none.
	Pending func() string
	// OwnsPartition0 reports whether this replica carries out marks.
	OwnsPartition0 func() bool
	// Clear removes a mark unless it was replaced.
	Clear func(ctx context.Context, mark string) error

	OnSync func(err error) // called for each sync
	Log    *slog.Logger
}

// Syncer asks the mediator for its users: when a replica starts, on request, when
// Redis came back with older data, and when a user that the mediator named could not
// be stored.
type Syncer struct {
	cfg       SyncConfig
	requested chan struct{} // capacity 1: a mark is to be written
	shared    singleflight.Group
	// busyUntil is when an unanswered request is no longer expected to keep the mediator
	// busy. Only the sync in flight uses it.
	busyUntil time.Time
	succeeded atomic.Pointer[time.Time] // when the last successful sync began; nil: none
}

const (
	markInterval = 200 * time.Millisecond // between two checks of the mark
	tableTimeout = 2 * time.Second        // of a write to the table
	// startWindow is how far apart replicas may start and still share one sync.
	startWindow = 3 * time.Second
	// First and longest wait after a failed sync.
	syncFirst, syncMost = time.Second, 30 * time.Second
	// First and longest wait after a sync without an answer of the mediator, which may still be
	// busy; it posts all its users each time. With a newer mark, the wait is newMarkMost at most.
	busyFirst, busyMost = setupTimeout, time.Hour
	newMarkMost         = 5 * time.Minute

	startMark = "start:" // prefix of the mark of a starting replica
)

// NewSyncer returns a syncer that is ready to Run.
func NewSyncer(cfg SyncConfig) *Syncer { return &Syncer{cfg: cfg, requested: make(chan struct{}, 1)} }

// Sync asks the mediator for its users now. Concurrent callers share one request, and a
// caller that gives up does not cancel it for the others. No lock is held during the
// request, because the mediator posts its users to this service before it answers. Sync
// returns [ErrStillBusy] while the mediator may be busy with the last request.
func (s *Syncer) Sync(ctx context.Context) error {
	_, err := s.sync(ctx)
	return err
}

// sync also returns when the request began, which may be before this call.
func (s *Syncer) sync(ctx context.Context) (began time.Time, err error) {
	answer := s.shared.DoChan("", func() (any, error) {
		began := time.Now()
		if began.Before(s.busyUntil) {
			return began, ErrStillBusy
		}
		err := s.cfg.Mediator.Setup(context.WithoutCancel(ctx))
		if errors.Is(err, ErrStillBusy) {
			s.busyUntil = time.Now().Add(busyFirst)
		}
		if err == nil {
			s.succeeded.Store(&began)
		}
		s.cfg.OnSync(err)
		return began, err
	})
	select {
	case a := <-answer:
		return a.Val.(time.Time), a.Err
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

// syncAfter syncs by a request that begins after t, unless one has succeeded already. In an earlier
// request the mediator may have posted users before the event that this sync is about.
func (s *Syncer) syncAfter(ctx context.Context, t time.Time) error {
	if s.syncedSince(t) {
		return nil
	}
	began, err := s.sync(ctx)
	if ctx.Err() == nil && began.Before(t) {
		_, err = s.sync(ctx)
	}
	return err
}

// RequestSync requests a sync that begins after this call.
func (s *Syncer) RequestSync() {
	select {
	case s.requested <- struct{}{}:
	default: // a mark is about to be written
	}
}

// Run writes a mark for this start, and carries out marks while this replica owns partition
// 0, until ctx ends.
func (s *Syncer) Run(ctx context.Context) error {
	var marking sync.WaitGroup
	marking.Go(func() {
		s.writeMark(ctx, startMark+rand.Text(), false)
		for {
			select {
			case <-s.requested:
				s.writeMark(ctx, rand.Text(), true)
			case <-ctx.Done():
				return
			}
		}
	})
	s.carryOutMarks(ctx)
	marking.Wait()
	return nil
}

// writeMark writes a mark, with backoff until it succeeds.
func (s *Syncer) writeMark(ctx context.Context, mark string, replace bool) {
	schedule.Retry(ctx, 500*time.Millisecond, 5*time.Second, func(attempt int) error {
		writing, cancel := context.WithTimeout(ctx, tableTimeout)
		defer cancel()
		err := s.cfg.Mark(writing, mark, replace)
		if err != nil && attempt == 1 && ctx.Err() == nil {
			s.cfg.Log.WarnContext(ctx, "sync mark not saved, retrying", "err", err)
		}
		return err
	})
}

// carryOutMarks syncs whenever there is a mark, with backoff until it succeeds, and clears
// the mark.
func (s *Syncer) carryOutMarks(ctx context.Context) {
	mark, seenAt := "", time.Time{}     // the latest mark
	doneMark, doneAt := "", time.Time{} // of the last sync
	failures, unanswered := 0, 0        // since then
	var failedAt, retryAt time.Time     // the last failure, and the next try after it
	for schedule.Sleep(ctx, markInterval) {
		if pending := s.cfg.Pending(); pending != mark {
			mark, seenAt = pending, time.Now()
			if latest := failedAt.Add(newMarkMost); retryAt.After(latest) {
				retryAt = latest
			}
		}
		waits := time.Now().Before(retryAt) && !s.syncedSince(seenAt) // someone else's sync may have succeeded
		if mark == "" || waits || !s.cfg.OwnsPartition0() {
			continue
		}
		if strings.HasPrefix(mark, startMark) && time.Since(doneAt) < startWindow {
			doneMark = mark // of a replica that started together with the one just synced for
		}
		if mark != doneMark {
			if err := s.syncAfter(ctx, seenAt); err != nil {
				failures++
				if failures == 1 && ctx.Err() == nil {
					s.cfg.Log.WarnContext(ctx, "sync with the mediator failed, retrying", "err", err)
				}
				wait := schedule.Backoff(failures, syncFirst, syncMost)
				if errors.Is(err, ErrStillBusy) {
					unanswered++
					wait = schedule.Doubling(unanswered, busyFirst, busyMost)
				}
				failedAt = time.Now()
				retryAt = failedAt.Add(wait)
				continue
			}
			s.cfg.Log.InfoContext(ctx, "sync with the mediator finished")
			doneMark, doneAt, failures, unanswered, retryAt = mark, time.Now(), 0, 0, time.Time{}
		}
		clearing, cancel := context.WithTimeout(ctx, tableTimeout)
		if err := s.cfg.Clear(clearing, mark); err != nil {
			s.cfg.Log.DebugContext(ctx, "sync mark not cleared, retrying", "err", err)
		}
		cancel()
	}
}

// syncedSince reports whether a sync that began after t has succeeded.
func (s *Syncer) syncedSince(t time.Time) bool {
	at := s.succeeded.Load()
	return at != nil && at.After(t)
}
