package deliver

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"outlook-monitor/internal/schedule"
)

// SyncConfig says what a [Syncer] works with.
type SyncConfig struct {
	Mediator *Mediator

	// Mark writes the mark that asks for a sync into the table of owners. Unless
	// replace is set, a mark that is there stays. Pending returns the mark as this
	// replica last saw it, empty if there is none; First reports whether it carries marks
	// out; Clear removes a mark unless it was replaced.
	Mark    func(ctx context.Context, mark string, replace bool) error
	Pending func() string
	First   func() bool
	Clear   func(ctx context.Context, mark string) error

	OnSync func(err error) // called for each sync
	Log    *slog.Logger
}

// Syncer asks the mediator for its users: when a replica starts, on request, when
// Redis came back with older data, and when a user that the mediator named could not
// be stored.
type Syncer struct {
	cfg       SyncConfig
	requested chan struct{} // capacity 1: a mark is to be left
	shared    singleflight.Group
	// busyUntil is how long the mediator may be carrying out a request that it did not
	// answer. Only the sync in flight uses it.
	busyUntil time.Time
}

const (
	syncTick    = 200 * time.Millisecond // between two checks of the mark
	syncTimeout = 2 * time.Second        // of a write to the table
	// together is how far apart replicas may start and still count as one start.
	together = 3 * time.Second
	// Waits after a failed sync: the first and the longest one.
	syncFirst, syncMost = time.Second, 30 * time.Second
	// Waits after one that got no answer in time: the mediator may be busy with it.
	busyFirst, busyMost = setupTimeout, 5 * time.Minute

	startMark = "start:" // what the mark of a replica that starts begins with
)

// NewSyncer returns a syncer that is ready to Run.
func NewSyncer(cfg SyncConfig) *Syncer { return &Syncer{cfg: cfg, requested: make(chan struct{}, 1)} }

// Sync asks the mediator for its users now. Callers at the same time share one
// request, and a caller that leaves does not end it for the others. No lock is held
// meanwhile: the mediator posts its users to us before it answers. The error is
// [ErrStillBusy] while it may be busy with the last request.
func (s *Syncer) Sync(ctx context.Context) error {
	_, err := s.sync(ctx)
	return err
}

// sync also returns when the request began: that may have been before this call.
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

// fresh syncs, and not by a request that had begun before: the mediator may have posted
// users before whatever the sync is about.
func (s *Syncer) fresh(ctx context.Context) error {
	asked := time.Now()
	began, err := s.sync(ctx)
	if ctx.Err() == nil && began.Before(asked) {
		_, err = s.sync(ctx)
	}
	return err
}

// RequestSync has the mediator asked for its users once more, by a sync that begins after
// this call.
func (s *Syncer) RequestSync() {
	select {
	case s.requested <- struct{}{}:
	default: // a mark is about to be left
	}
}

// Run leaves a mark for this start, and carries out marks while this replica is the
// one to do so, until ctx ends.
func (s *Syncer) Run(ctx context.Context) error {
	var marking sync.WaitGroup
	marking.Go(func() {
		s.mark(ctx, startMark+rand.Text(), false)
		for {
			select {
			case <-s.requested:
				s.mark(ctx, rand.Text(), true)
			case <-ctx.Done():
				return
			}
		}
	})
	s.carryOut(ctx)
	marking.Wait()
	return nil
}

// mark leaves a mark, with growing waits until that worked.
func (s *Syncer) mark(ctx context.Context, mark string, replace bool) {
	schedule.Retry(ctx, 500*time.Millisecond, 5*time.Second, func(failures int) error {
		writing, cancel := context.WithTimeout(ctx, syncTimeout)
		defer cancel()
		err := s.cfg.Mark(writing, mark, replace)
		if err != nil && failures == 1 && ctx.Err() == nil {
			s.cfg.Log.WarnContext(ctx, "sync mark not saved, retrying", "err", err)
		}
		return err
	})
}

// carryOut syncs whenever there is a mark, with growing waits until that worked, and
// clears it.
func (s *Syncer) carryOut(ctx context.Context) {
	done, worked := "", time.Time{} // the last mark that was carried out, and when
	failures := 0                   // in a row
	for schedule.Sleep(ctx, syncTick) {
		mark := s.cfg.Pending()
		if mark == "" || !s.cfg.First() {
			continue
		}
		if strings.HasPrefix(mark, startMark) && !worked.IsZero() && time.Since(worked) < together {
			done = mark // this replica started together with one whose mark was carried out
		}
		if mark != done {
			if err := s.fresh(ctx); err != nil {
				failures++
				s.wait(ctx, failures, err)
				continue
			}
			s.cfg.Log.InfoContext(ctx, "sync with the mediator finished")
			done, worked, failures = mark, time.Now(), 0
		}
		clearing, cancel := context.WithTimeout(ctx, syncTimeout)
		if err := s.cfg.Clear(clearing, mark); err != nil {
			s.cfg.Log.DebugContext(ctx, "sync mark not cleared, retrying", "err", err)
		}
		cancel()
	}
}

// wait waits after a failed sync.
func (s *Syncer) wait(ctx context.Context, failures int, err error) {
	if failures == 1 && ctx.Err() == nil {
		s.cfg.Log.WarnContext(ctx, "sync with the mediator failed, retrying", "err", err)
	}
	if errors.Is(err, ErrStillBusy) {
		schedule.Sleep(ctx, schedule.Doubling(failures, busyFirst, busyMost))
	} else {
		schedule.Sleep(ctx, schedule.Backoff(failures, syncFirst, syncMost))
	}
}
