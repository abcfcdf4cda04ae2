package deliver_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/deliver"
	"outlook-monitor/internal/ooo"
)

// shared is what replicas know of each other through Redis.
type shared struct {
	mu      sync.Mutex
	err     error // guarded by mu, as all below
	emptied bool
	owner   int // of the lock; 0: free
	owners  int
	stamp   time.Time
	story   []string
	synced  []error
}

func (s *shared) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *shared) Emptied(context.Context) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.emptied
	if s.err == nil {
		s.emptied = false
	}
	return was && s.err == nil, s.err
}

// lose is Redis losing everything.
func (s *shared) lose() {
	s.set(func() { s.emptied, s.owner, s.stamp = true, 0, time.Time{} })
}

func (s *shared) Lock(context.Context, string, time.Duration) (func(context.Context) error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return nil, s.err
	case s.owner != 0: // kept until it is freed
		return nil, ooo.ErrBusy
	}
	s.owners++
	mine := s.owners
	s.owner = mine
	return func(context.Context) error {
		s.set(func() {
			if s.owner == mine {
				s.owner = 0
			}
		})
		return nil
	}, nil
}

func (s *shared) Stamp(context.Context, string) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stamp, s.err
}

func (s *shared) SetStamp(context.Context, string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.stamp = time.Now()
	}
	return s.err
}

func (s *shared) ClearStamp(context.Context, string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.stamp = time.Time{}
	}
	return s.err
}

func (s *shared) Now(context.Context) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now(), s.err
}

// syncing is a mediator that takes its time over a setup.
func syncing(s *shared, takes time.Duration) *world {
	w := newWorld()
	w.reply = func(c call) reply {
		if c.path != "/api/setup" {
			return reply{code: 200}
		}
		s.set(func() { s.story = append(s.story, "setup") })
		return reply{code: 200, body: `{"result":"True"}`, takes: takes}
	}
	return w
}

// replica is one process' syncer.
func replica(t *testing.T, s *shared, w *world) *deliver.Syncer {
	t.Helper()
	syncer, err := deliver.NewSyncer(deliver.SyncConfig{
		Mediator: w.mediator(t), Store: s,
		Synced:  func(err error) { s.set(func() { s.synced = append(s.synced, err) }) },
		Restore: func(context.Context) error { s.set(func() { s.story = append(s.story, "restore") }); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return syncer
}

// told returns what happened so far.
func (s *shared) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.story)
}

func TestTheMediatorIsAskedAtStartUntilItWorks(t *testing.T) {
	tests := map[string]reply{
		"it is out of reach":         {err: errors.New("connection refused")},
		"it answers with an error":   {code: 500},
		"it says that it could not":  {code: 200, body: `{"result":"False"}`},
		"it never answers":           {code: 200, takes: time.Hour},
		"it knows no such call":      {code: 404},
		"something else is in place": {code: 302},
	}
	for name, bad := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &shared{}
				w := syncing(s, time.Second)
				good := w.reply
				back := time.Now().Add(10 * time.Minute)
				w.reply = func(c call) reply {
					if time.Now().Before(back) {
						return bad
					}
					return good(c)
				}
				stop := running(t, replica(t, s, w).Run)
				time.Sleep(9 * time.Minute)
				s.set(func() {
					if failed := len(s.synced); failed < 8 || failed > 40 || !s.stamp.IsZero() {
						t.Errorf("%d failures noted in 9 minutes, stamp %v, want a try every half minute or minute and no stamp", failed, s.stamp)
					}
				})
				time.Sleep(time.Hour)
				stop()
				if got := s.told(); !slices.Equal(got, []string{"setup"}) || s.stamp.IsZero() {
					t.Errorf("then: %v, stamp %v, want one setup, noted", got, s.stamp)
				}
			})
		})
	}
}

func TestRedisAwayAtStartIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{err: errors.New("away")}
		stop := running(t, replica(t, s, syncing(s, 0)).Run)
		time.Sleep(time.Minute)
		if got := s.told(); len(got) != 0 {
			t.Errorf("while Redis is away: %v, want nothing", got)
		}
		s.set(func() { s.err = nil })
		time.Sleep(time.Minute)
		stop()
		if got := s.told(); !slices.Equal(got, []string{"setup"}) {
			t.Errorf("then: %v, want one setup", got)
		}
	})
}

func TestReplicasThatStartTogetherSyncOnce(t *testing.T) {
	tests := map[string]struct {
		apart time.Duration // between the starts of two
		takes time.Duration // of a setup
		want  int
	}{
		"at the same moment":                  {0, 100 * time.Millisecond, 1},
		"a moment later, after it was done":   {2 * time.Second, 10 * time.Millisecond, 1},
		"while the first is still at it":      {10 * time.Second, 30 * time.Second, 1},
		"long after the first: a start again": {time.Minute, 100 * time.Millisecond, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &shared{}
				w := syncing(s, tt.takes)
				first := running(t, replica(t, s, w).Run)
				time.Sleep(tt.apart)
				second := running(t, replica(t, s, w).Run)
				time.Sleep(5 * time.Minute)
				first()
				second()
				if got := len(s.told()); got != tt.want {
					t.Errorf("setups = %d, want %d", got, tt.want)
				}
			})
		})
	}
}

func TestAReplicaThatDiedInASyncHoldsUpNoneForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{owner: 99, owners: 99}
		time.AfterFunc(10*time.Second, func() { s.set(func() { s.owner = 0 }) }) // what it held ends
		stop := running(t, replica(t, s, syncing(s, 0)).Run)
		time.Sleep(time.Minute)
		stop()
		if got := s.told(); !slices.Equal(got, []string{"setup"}) {
			t.Errorf("a minute after: %v, want one setup", got)
		}
	})
}

func TestRequestsShareOneSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{}
		syncer := replica(t, s, syncing(s, 10*time.Second))
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() {
				if err := syncer.Sync(t.Context()); err != nil {
					t.Errorf("Sync = %v, want nil", err)
				}
			})
		}
		group.Go(func() { // one gives up
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := syncer.Sync(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Sync of one who went away = %v, want its deadline", err)
			}
		})
		group.Wait()
		if got := s.told(); !slices.Equal(got, []string{"setup"}) || len(s.synced) != 1 || s.synced[0] != nil {
			t.Errorf("six requests: %v, noted %v, want one setup that worked", got, s.synced)
		}
		if err := syncer.Sync(t.Context()); err != nil || len(s.told()) != 2 {
			t.Errorf("a later request: %v, %d setups, want nil and another", err, len(s.told()))
		}
	})
}

func TestTheOneWhoAskedFirstMayGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{}
		syncer := replica(t, s, syncing(s, 10*time.Second))
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() {
			if err := syncer.Sync(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("Sync of the first = %v, want canceled", err)
			}
		})
		time.Sleep(time.Second)
		group.Go(func() {
			if err := syncer.Sync(t.Context()); err != nil {
				t.Errorf("Sync of the second = %v, want nil", err)
			}
		})
		time.Sleep(time.Second)
		cancel()
		group.Wait()
		if got := s.told(); !slices.Equal(got, []string{"setup"}) {
			t.Errorf("story = %v, want one setup for both", got)
		}
	})
}

func TestAnEmptiedRedisIsFilledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{}
		w := syncing(s, time.Second)
		first := running(t, replica(t, s, w).Run)
		second := running(t, replica(t, s, w).Run)
		time.Sleep(time.Minute)
		for range 2 {
			s.lose()
			time.Sleep(time.Minute)
		}
		s.set(func() { s.err = errors.New("away") }) // asked in vain: not emptied
		time.Sleep(time.Minute)
		s.set(func() { s.err = nil })
		time.Sleep(time.Minute)
		first()
		second()
		want := []string{"setup", "restore", "setup", "restore", "setup"}
		if got := s.told(); !slices.Equal(got, want) {
			t.Errorf("story = %v, want %v", got, want)
		}
	})
}

func TestAUserThatCouldNotBeStoredIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{}
		syncer := replica(t, s, syncing(s, time.Second))
		stop := running(t, syncer.Run)
		time.Sleep(time.Minute)
		s.set(func() { s.err = errors.New("away") })
		syncer.Owe()
		time.Sleep(time.Minute)
		if got := s.told(); !slices.Equal(got, []string{"setup"}) {
			t.Errorf("while Redis is away: %v, want no further setup", got)
		}
		s.set(func() { s.err = nil })
		time.Sleep(time.Minute)
		stop()
		if got := s.told(); !slices.Equal(got, []string{"setup", "setup"}) {
			t.Errorf("then: %v, want one more setup", got)
		}
	})
}

func TestAReplicaThatDiesBeforeItFilledRedisIsStoodInFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{}
		w := syncing(s, time.Second)
		stop := running(t, replica(t, s, w).Run)
		time.Sleep(time.Minute)
		s.lose()
		if told, err := s.Emptied(t.Context()); !told || err != nil { // another replica is told, and dies
			t.Fatalf("Emptied = %t, %v, want true", told, err)
		}
		time.Sleep(time.Minute)
		stop()
		if got, want := s.told(), []string{"setup", "setup"}; !slices.Equal(got, want) {
			t.Errorf("story = %v, want %v", got, want)
		}
	})
}

func TestASyncThatBeganBeforeRedisWasEmptiedDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{}
		syncer := replica(t, s, syncing(s, 30*time.Second))
		stop := running(t, syncer.Run)
		time.Sleep(time.Minute)
		var group sync.WaitGroup
		group.Go(func() {
			if err := syncer.Sync(t.Context()); err != nil { // someone opens the page
				t.Errorf("Sync = %v, want nil", err)
			}
		})
		time.Sleep(time.Second)
		s.lose() // the users that were posted are lost
		time.Sleep(2 * time.Minute)
		group.Wait()
		stop()
		want := []string{"setup", "setup", "restore", "setup"}
		if got := s.told(); !slices.Equal(got, want) {
			t.Errorf("story = %v, want %v", got, want)
		}
	})
}
