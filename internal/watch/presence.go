package watch

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/ooo"
)

// PresenceStore is what a sweep of presence needs of Redis.
type PresenceStore interface {
	// People returns the users who are monitored and found, by object id.
	People(ctx context.Context) (map[ooo.ObjectID][]ooo.Key, error)
	Mark(ctx context.Context, q ooo.Queue, marks ...ooo.Mark) (known int, err error)
	Lock(ctx context.Context, name string, ttl time.Duration) (unlock func(context.Context) error, err error)
	Pause(ctx context.Context, name string, until time.Time) error
	Paused(ctx context.Context, name string) (time.Time, error)
	Now(ctx context.Context) (time.Time, error)
}

// PresenceConfig says what a [PresenceSweep] works with.
type PresenceConfig struct {
	Store PresenceStore
	// Presences asks Graph about at most ooo.MostPresences users.
	Presences func(ctx context.Context, ids []ooo.ObjectID) ([]ooo.Presence, error)
	Every     time.Duration // between the beginnings of two sweeps, if the budget allows; default 2 s
	// Swept hears of each sweep: how many calls it took and how many users it
	// marked; it may be nil.
	Swept func(calls, marked int)
	Log   *slog.Logger
}

// PresenceSweep asks for the presence of all users together, 650 in one call, and
// marks those whose automatic replies seem to have turned. That is a hint and no
// more: the mailbox is read as it is after a notification. It pays where reading
// all mailboxes often enough would take more than Graph allows, with a longer
// poll interval.
//
// One replica sweeps at a time. The calls have a budget of their own: half of what
// Graph allows for presence, which it counts apart from mailboxes.
type PresenceSweep struct {
	cfg PresenceConfig

	people map[ooo.ObjectID][]ooo.Key
	asked  time.Time             // for people
	away   map[ooo.ObjectID]bool // what presence said last
	denied bool                  // it was said in the log
}

const (
	presenceLock = "presence"
	presenceTTL  = 15 * time.Second
	peopleSpan   = 10 * time.Second // how long people are taken to be the same

	// presencePace is the least time between two calls: 25 a second, where Graph
	// allows 1,500 in 30 s.
	presencePace    = 40 * time.Millisecond
	presenceCalls   = 8 // in flight
	presencePatient = 5 * time.Minute
)

// NewPresenceSweep returns a sweep that is ready to Run.
func NewPresenceSweep(cfg PresenceConfig) (*PresenceSweep, error) {
	if cfg.Store == nil || cfg.Presences == nil {
		return nil, errors.New("watch: Store and Presences are required")
	}
	if cfg.Every <= 0 {
		cfg.Every = 2 * time.Second
	}
	if cfg.Swept == nil {
		cfg.Swept = func(int, int) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &PresenceSweep{cfg: cfg}, nil
}

// Run sweeps whenever no other replica does, until ctx ends.
func (p *PresenceSweep) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		unlock, err := p.cfg.Store.Lock(ctx, presenceLock, presenceTTL)
		if err != nil {
			sleep(ctx, presenceTTL/3+rand.N(time.Second))
			continue
		}
		p.people, p.away = nil, map[ooo.ObjectID]bool{}
		err = p.lead(ctx)
		freeing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		_ = unlock(freeing) // it ends by itself
		cancel()
		if err != nil && ctx.Err() == nil {
			p.cfg.Log.WarnContext(ctx, "presence can't be swept, will try again", "err", err)
			sleep(ctx, presenceTTL)
		}
	}
	return nil
}

// lead sweeps until Redis fails or ctx ends.
func (p *PresenceSweep) lead(ctx context.Context) error {
	for ctx.Err() == nil {
		began := time.Now()
		wait, err := p.paused(ctx)
		if err != nil {
			return err
		}
		if wait == 0 {
			if wait, err = p.sweep(ctx); err != nil {
				return err
			}
		}
		sleep(ctx, max(wait, p.cfg.Every-time.Since(began)))
	}
	return nil
}

func (p *PresenceSweep) paused(ctx context.Context) (time.Duration, error) {
	until, err := p.cfg.Store.Paused(ctx, ooo.PresencePause)
	if err != nil || until.IsZero() {
		return 0, err
	}
	now, err := p.cfg.Store.Now(ctx)
	return max(until.Sub(now), 0), err
}

// sweep asks about everybody once. It returns how long to leave Graph alone; the
// error is Redis'.
func (p *PresenceSweep) sweep(ctx context.Context) (time.Duration, error) {
	if p.people == nil || time.Since(p.asked) > peopleSpan {
		people, err := p.cfg.Store.People(ctx)
		if err != nil {
			return 0, err
		}
		p.people, p.asked = people, time.Now()
		maps.DeleteFunc(p.away, func(id ooo.ObjectID, _ bool) bool { return people[id] == nil })
	}
	found, calls, failed := p.ask(ctx)
	var marks []ooo.Mark
	var turned []ooo.Presence
	for _, one := range found {
		before, known := p.away[one.ID]
		if !known {
			p.away[one.ID] = one.Away
		}
		if !known || before == one.Away {
			continue
		}
		turned = append(turned, one)
		for _, key := range p.people[one.ID] {
			marks = append(marks, ooo.Mark{Key: key, Source: ooo.SourcePresence, Urgent: true})
		}
	}
	if len(marks) > 0 {
		if _, err := p.cfg.Store.Mark(ctx, ooo.ReadQueue, marks...); err != nil {
			return 0, err
		}
	}
	for _, one := range turned { // only now: a hint that was not stored is given again
		p.away[one.ID] = one.Away
	}
	p.cfg.Swept(calls, len(marks))
	return p.after(ctx, failed)
}

// ask asks about everybody, several calls at a time, and returns what Graph knows
// and the first of what failed. After a failure no more is asked.
func (p *PresenceSweep) ask(ctx context.Context) (found []ooo.Presence, calls int, failed error) {
	var mu sync.Mutex
	asking, asked := errgroup.WithContext(ctx)
	asking.SetLimit(presenceCalls)
	pace := time.NewTicker(presencePace)
	defer pace.Stop()
	for ids := range slices.Chunk(slices.Collect(maps.Keys(p.people)), ooo.MostPresences) {
		select {
		case <-asked.Done():
			failed = asking.Wait()
			return found, calls, failed
		case <-pace.C:
		}
		calls++
		asking.Go(func() error {
			some, err := p.cfg.Presences(asked, ids)
			mu.Lock()
			defer mu.Unlock()
			found = append(found, some...)
			return err
		})
	}
	failed = asking.Wait()
	return found, calls, failed
}

// after says how long to wait after calls that failed.
func (p *PresenceSweep) after(ctx context.Context, failed error) (time.Duration, error) {
	if ctx.Err() != nil {
		return 0, nil
	}
	if failed == nil {
		p.denied = false
		return 0, nil
	}
	if wait, ok := errors.AsType[*ooo.Throttled](failed); ok {
		now, err := p.cfg.Store.Now(ctx)
		if err != nil {
			return 0, err
		}
		return wait.After, p.cfg.Store.Pause(ctx, ooo.PresencePause, now.Add(wait.After))
	}
	if !errors.Is(failed, ooo.ErrDenied) {
		return presenceTTL / 3, nil
	}
	if !p.denied {
		p.denied = true
		p.cfg.Log.WarnContext(ctx, "presence can't be swept", "err", failed)
	}
	return presencePatient, nil
}

// sleep waits, unless ctx ends before.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
