package deliver_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/deliver"
)

// table is the part of the table of owners that syncs go by, and the mediator.
type table struct {
	*world
	err     error // of Redis; guarded by the world's mu, as all below
	mark    string
	first   int // the replica that carries marks out
	setups  []time.Time
	results []error
}

// newTable returns a table, and a mediator that takes its time over each request for
// its users.
func newTable(t *testing.T, takes time.Duration) *table {
	s := &table{world: newWorld(t)}
	s.reply = func(c call) reply {
		if c.path != "/api/setup" {
			return reply{code: 200}
		}
		s.setups = append(s.setups, time.Now())
		return reply{code: 200, body: `{"result":"True"}`, takes: takes}
	}
	return s
}

// replica returns the syncer of one replica.
func (s *table) replica(number int) *deliver.Syncer {
	s.t.Helper()
	return deliver.NewSyncer(deliver.SyncConfig{
		Mediator: s.mediator(),
		Mark: func(_ context.Context, mark string, replace bool) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.err == nil && (replace || s.mark == "") {
				s.mark = mark
			}
			return s.err
		},
		Pending: func() (mark string) { s.set(func() { mark = s.mark }); return mark },
		First:   func() (first bool) { s.set(func() { first = s.first == number }); return first },
		Clear: func(_ context.Context, mark string) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.err == nil && s.mark == mark {
				s.mark = ""
			}
			return s.err
		},
		OnSync: func(err error) { s.set(func() { s.results = append(s.results, err) }) },
		Log:    slog.New(slog.DiscardHandler),
	})
}

// expect compares the number of requests so far.
func (s *table) expect(when string, setups int, marked bool) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.setups) != setups || (s.mark != "") != marked {
		s.t.Errorf("%s: %d setups, mark %q, want %d and marked %t", when, len(s.setups), s.mark, setups, marked)
	}
}

func TestTheMediatorIsAskedAtStartUntilItWorks(t *testing.T) {
	tests := map[string]reply{
		"it is out of reach":        {err: errors.New("connection refused")},
		"it says that it could not": {code: 200, body: `{"result":"False"}`}, // more of these: TestSetup
		"it never answers":          {code: 200, takes: time.Hour},
	}
	for name, bad := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTable(t, time.Second)
				good, until := s.reply, time.Now().Add(10*time.Minute)
				s.reply = func(c call) reply {
					if time.Now().Before(until) {
						return bad
					}
					return good(c)
				}
				stop := await.Run(t, s.replica(0).Run)
				time.Sleep(9 * time.Minute)
				s.set(func() {
					if failed := len(s.results); failed < 8 || failed > 40 || s.mark == "" {
						t.Errorf("%d failures in 9 minutes, mark %q, want one every half minute or minute and the mark", failed, s.mark)
					}
				})
				time.Sleep(time.Hour)
				stop()
				s.expect("then", 1, false)
			})
		})
	}
}

func TestAMediatorThatIsBusyIsNotAskedAgainMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTable(t, 40*time.Second)
		syncer := s.replica(0)
		stop := await.Run(t, syncer.Run)
		time.Sleep(38 * time.Second)
		if err := syncer.Sync(t.Context()); !errors.Is(err, deliver.ErrStillBusy) {
			t.Errorf("Sync while it is busy = %v, want ErrStillBusy", err)
		}
		time.Sleep(20 * time.Minute)
		s.set(func() {
			for i := range s.setups[1:] {
				if gap := s.setups[i+1].Sub(s.setups[i]); gap < 70*time.Second {
					t.Errorf("asked again after %v, want 35 s after the time-out at least", gap)
				}
			}
			if len(s.setups) < 4 {
				t.Errorf("asked %d times, want more", len(s.setups))
			}
		})
		stop()
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
		"while the first one's is in flight":  {10 * time.Second, 30 * time.Second, 1},
		"long after the first: another start": {time.Minute, 100 * time.Millisecond, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTable(t, tt.takes)
				first := await.Run(t, s.replica(0).Run)
				time.Sleep(tt.apart)
				second := await.Run(t, s.replica(1).Run)
				time.Sleep(5 * time.Minute)
				first()
				second()
				s.expect("two starts", tt.want, false)
			})
		})
	}
}

func TestAnotherReplicaCarriesOutTheMarkOfOneThatDied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTable(t, time.Second)
		s.first = 9
		stop := await.Run(t, s.replica(0).Run)
		time.Sleep(time.Minute)
		s.expect("while another one is to do it", 0, true)
		s.set(func() { s.first = 0 })
		time.Sleep(time.Minute)
		stop()
		s.expect("then", 1, false)
	})
}

func TestRequestsShareOneSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTable(t, 10*time.Second)
		syncer := s.replica(0)
		var group sync.WaitGroup
		leaving, cancel := context.WithCancel(t.Context())
		group.Go(func() { // the first one leaves
			if err := syncer.Sync(leaving); !errors.Is(err, context.Canceled) {
				t.Errorf("Sync of one who left = %v, want canceled", err)
			}
		})
		synctest.Wait()
		for range 5 {
			group.Go(func() {
				if err := syncer.Sync(t.Context()); err != nil {
					t.Errorf("Sync = %v, want nil", err)
				}
			})
		}
		time.Sleep(time.Second)
		cancel()
		group.Wait()
		s.expect("six requests", 1, false)
		if err := syncer.Sync(t.Context()); err != nil {
			t.Errorf("Sync later = %v, want nil", err)
		}
		s.expect("a later one", 2, false)
		if !slices.Equal(s.results, []error{nil, nil}) {
			t.Errorf("results = %v, want two that worked", s.results)
		}
	})
}

func TestAUserThatCouldNotBeStoredIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTable(t, time.Second)
		syncer := s.replica(0)
		stop := await.Run(t, syncer.Run)
		time.Sleep(time.Minute)
		s.set(func() { s.err = errors.New("away") })
		syncer.RequestSync()
		time.Sleep(time.Minute)
		s.expect("while Redis is away", 1, false)
		s.set(func() { s.err = nil })
		time.Sleep(time.Minute)
		s.expect("then", 2, false)
		syncer.RequestSync() // right after another start
		time.Sleep(1500 * time.Millisecond)
		syncer.RequestSync()
		time.Sleep(time.Minute)
		stop()
		s.expect("twice more", 4, false)
	})
}

func TestASyncThatHadBegunDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTable(t, 30*time.Second)
		syncer := s.replica(0)
		stop := await.Run(t, syncer.Run)
		time.Sleep(time.Minute)
		var group sync.WaitGroup
		group.Go(func() {
			if err := syncer.Sync(t.Context()); err != nil { // someone opens the page
				t.Errorf("Sync = %v, want nil", err)
			}
		})
		time.Sleep(time.Second)
		syncer.RequestSync() // the users posted so far are lost
		time.Sleep(2 * time.Minute)
		group.Wait()
		stop()
		s.expect("a start, the page, a loss", 3, false)
	})
}
