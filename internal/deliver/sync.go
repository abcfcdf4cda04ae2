package deliver

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/schedule"
)

// SyncConfig says what a [Syncer] works with.
type SyncConfig struct {
	Mediator *Mediator

	// Mark writes the mark that asks for a sync into the table of owners. Unless
	// replace is set, a mark that is there stays. Pending returns the mark as this
	// replica last saw it, empty if there is none; First says whether it carries marks
	// out; Clear removes a mark unless it was replaced.
	Mark    func(ctx context.Context, mark string, replace bool) error
	Pending func() string
	First   func() bool
	Clear   func(ctx context.Context, mark string) error

	Synced func(err error) // hears of each sync; may be nil
	Log    *slog.Logger
}

// Syncer asks the mediator for its users: when a replica starts, on request, when
// Redis came back with older data, and when a user that the mediator named could not
// be stored.
type Syncer struct {
	cfg   SyncConfig
	owing chan struct{} // capacity 1: a mark is to be left

	mu        sync.Mutex
	flight    *flight   // guarded by mu, as all below; nil: none
	busyUntil time.Time // the mediator may still be carrying out a request that it did not answer
}

// flight is a sync that callers share.
type flight struct {
	ended chan struct{} // closed then
	err   error         // set before
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
func NewSyncer(cfg SyncConfig) (*Syncer, error) {
	if cfg.Mediator == nil || cfg.Mark == nil || cfg.Pending == nil || cfg.First == nil || cfg.Clear == nil {
		return nil, errors.New("deliver: Mediator, Mark, Pending, First and Clear are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Synced == nil {
		cfg.Synced = func(error) {}
	}
	return &Syncer{cfg: cfg, owing: make(chan struct{}, 1)}, nil
}

// Sync asks the mediator for its users now. Callers at the same time share one
// request, and a caller that leaves does not end it for the others. No lock is held
// meanwhile: the mediator posts its users to us before it answers.
func (s *Syncer) Sync(ctx context.Context) error { return s.wait(ctx, s.join(ctx)) }

func (s *Syncer) wait(ctx context.Context, f *flight) error {
	select {
	case <-f.ended:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join returns the sync in flight, or begins one. While the mediator may still be busy
// with the last one it is not asked.
func (s *Syncer) join(ctx context.Context) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		return s.flight
	}
	f := &flight{ended: make(chan struct{})}
	if time.Now().Before(s.busyUntil) {
		f.err = ErrStillBusy
		close(f.ended)
		return f
	}
	s.flight = f
	go func() {
		err := s.cfg.Mediator.Setup(context.WithoutCancel(ctx))
		s.cfg.Synced(err)
		s.mu.Lock()
		defer s.mu.Unlock()
		if errors.Is(err, ErrStillBusy) {
			s.busyUntil = time.Now().Add(busyFirst)
		}
		s.flight, f.err = nil, err
		close(f.ended)
	}()
	return f
}

// Owe has the mediator asked for its users once more, by a sync that begins after
// this call.
func (s *Syncer) Owe() {
	select {
	case s.owing <- struct{}{}:
	default: // a mark is about to be left
	}
}

// Run leaves a mark for this start, and carries out marks while this replica is the
// one to do so, until ctx ends.
func (s *Syncer) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error {
		s.mark(ctx, startMark+rand.Text(), false)
		for {
			select {
			case <-s.owing:
				s.mark(ctx, rand.Text(), true)
			case <-ctx.Done():
				return nil
			}
		}
	})
	g.Go(func() error {
		s.carryOut(ctx)
		return nil
	})
	return g.Wait()
}

// mark leaves a mark, with growing waits until that worked.
func (s *Syncer) mark(ctx context.Context, mark string, replace bool) {
	for failures := 1; ctx.Err() == nil; failures++ {
		writing, cancel := context.WithTimeout(ctx, syncTimeout)
		err := s.cfg.Mark(writing, mark, replace)
		cancel()
		if err == nil {
			return
		}
		if failures == 1 {
			s.cfg.Log.WarnContext(ctx, "sync mark not saved, retrying", "err", err)
		}
		schedule.Sleep(ctx, schedule.Backoff(failures, 500*time.Millisecond, 5*time.Second))
	}
}

// carryOut syncs whenever there is a mark, with growing waits until that worked, and
// clears it.
func (s *Syncer) carryOut(ctx context.Context) {
	done, cleared := "", "" // the last mark that was carried out, and that was cleared
	var worked time.Time    // when the last sync did
	failures, busy := 0, 0  // syncs in a row that failed, and that got no answer
	for schedule.Sleep(ctx, syncTick) {
		mark := s.cfg.Pending()
		if mark == "" || mark == cleared || !s.cfg.First() {
			continue
		}
		if strings.HasPrefix(mark, startMark) && !worked.IsZero() && time.Since(worked) < together {
			done = mark // this replica started together with one whose mark was carried out
		}
		if mark != done {
			err := s.fresh(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case errors.Is(err, ErrStillBusy):
				busy++
				s.failed(ctx, failures+busy, err)
				schedule.Sleep(ctx, schedule.Doubling(busy, busyFirst, busyMost))
				continue
			case err != nil:
				failures++
				s.failed(ctx, failures+busy, err)
				schedule.Sleep(ctx, schedule.Backoff(failures, syncFirst, syncMost))
				continue
			}
			s.cfg.Log.InfoContext(ctx, "mediator has posted its users")
			done, worked, failures, busy = mark, time.Now(), 0, 0
		}
		clearing, cancel := context.WithTimeout(ctx, syncTimeout)
		err := s.cfg.Clear(clearing, mark)
		cancel()
		if err == nil {
			cleared = mark
		} else {
			s.cfg.Log.DebugContext(ctx, "sync mark not cleared, retrying", "err", err)
		}
	}
}

// fresh syncs, and not by a sync that had begun before: it may have posted users
// before whatever the mark is about.
func (s *Syncer) fresh(ctx context.Context) error {
	s.mu.Lock()
	before := s.flight
	s.mu.Unlock()
	if before != nil {
		_ = s.wait(ctx, before) // whatever became of it
	}
	return s.Sync(ctx)
}

func (s *Syncer) failed(ctx context.Context, failures int, err error) {
	if failures == 1 {
		s.cfg.Log.WarnContext(ctx, "mediator not asked for its users, retrying", "err", err)
	}
}
