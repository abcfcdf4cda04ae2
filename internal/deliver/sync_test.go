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

// table is the sync mark in the table of owners, and a mediator.
type table struct {
	*fixture
	err     error // of Redis; guarded by the fixture's mu, as all below
	mark    string
	first   int // the replica that carries out marks
	setups  []time.Time
	results []error
}

// newTable returns a table with a mediator that answers each setup after latency.
func newTable(t *testing.T, latency time.Duration) *table {
	s := &table{fixture: newFixture(t)}
	s.reply = func(c call) reply {
		if c.path != "/api/setup" {
			return reply{code: 200}
		}
		s.setups = append(s.setups, time.Now())
		return reply{code: 200, body: `{"result":"True"}`, latency: latency}
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
		Pending:        func() (mark string) { s.set(func() { mark = s.mark }); return mark },
		OwnsPartition0: func() (first bool) { s.set(func() { first = s.first == number }); return first },
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

// sync syncs by hand, which must succeed.
func (s *table) sync(syncer *deliver.Syncer) {
	s.t.Helper()
	if err := syncer.Sync(s.t.Context()); err != nil {
		s.t.Errorf("Sync = %v, want nil", err)
	}
}

// expect checks the number of setups so far and whether there is a mark.
func (s *table) expect(when string, setups int, marked bool) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.setups) != setups || (s.mark != "") != marked {
		s.t.Errorf("%s: %d setups, mark %q, want %d and marked %t", when, len(s.setups), s.mark, setups, marked)
	}
}

func TestFailedSyncIsRetried(t *testing.T) {
	refused := reply{err: errors.New("connection refused")}
	for name, tt := range map[string]struct {
		reply reply
		most  int // syncs in 6 hours
		busy  bool
	}{
		"no mediator":           {refused, 1000, false},
		"not ready":             {reply{code: 503}, 1000, false},
		"no answer":             {reply{code: 200, latency: 40 * time.Second}, 16, true},
		"proxy that waits 30 s": {reply{code: 504, latency: 30 * time.Second}, 16, true},
	} {
		t.Run(name, await.Bubble(func(t *testing.T) {
			s := newTable(t, time.Second)
			answering := s.reply
			s.reply = func(c call) reply {
				if c.path == "/api/setup" || tt.reply == refused {
					return tt.reply
				}
				return reply{code: 200}
			}
			syncer := s.replica(0)
			stop := await.Run(t, syncer.Run)
			advance(38 * time.Second)
			if err := syncer.Sync(t.Context()); err == nil || errors.Is(err, deliver.ErrStillBusy) != tt.busy {
				t.Errorf("Sync = %v, want ErrStillBusy: %t", err, tt.busy)
			}
			advance(6 * time.Hour)
			s.set(func() {
				if n := len(s.results); n < tt.most/2 || n > tt.most || s.mark == "" {
					t.Errorf("%d syncs in 6 hours, mark %q, want %d to %d and the mark", n, s.mark, tt.most/2, tt.most)
				}
				s.reply = answering
			})
			syncer.RequestSync()
			advance(time.Minute) // the last sync began more than five minutes ago
			stop()
			s.expect("within a minute of another request", 1, false)
		}))
	}
}

func TestReplicasThatStartTogetherSyncOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		apart   time.Duration // between the starts of two
		latency time.Duration // of a setup
		want    int
	}{
		"at once":                      {0, 100 * time.Millisecond, 1},
		"shortly after the first sync": {2 * time.Second, 10 * time.Millisecond, 1},
		"during the first sync":        {10 * time.Second, 30 * time.Second, 1},
		"long after the first sync":    {time.Minute, 100 * time.Millisecond, 2},
	} {
		t.Run(name, await.Bubble(func(t *testing.T) {
			s := newTable(t, tt.latency)
			first := await.Run(t, s.replica(0).Run)
			advance(tt.apart)
			second := await.Run(t, s.replica(1).Run)
			advance(5 * time.Minute)
			first()
			second()
			s.expect("two starts", tt.want, false)
		}))
	}
}

// TestSyncByHandCarriesOutTheMark syncs by hand during the long wait after unanswered setups.
func TestSyncByHandCarriesOutTheMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTable(t, time.Second)
		answering := s.reply
		s.reply = func(c call) (r reply) {
			if r = answering(c); c.path == "/api/setup" {
				r.latency = 40 * time.Second
			}
			return r
		}
		syncer := s.replica(0)
		stop := await.Run(t, syncer.Run)
		advance(150 * time.Minute)
		s.set(func() { s.reply = answering })
		s.sync(syncer)
		setups := len(s.setups)
		advance(2 * time.Hour)
		if more := len(s.setups) - setups; more != 0 {
			t.Errorf("%d more setups, want none", more)
		}
		stop()
	})
}

func TestConcurrentSyncsShareOneSetup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTable(t, 10*time.Second)
		syncer := s.replica(0)
		var group sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		group.Go(func() {
			if err := syncer.Sync(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("canceled Sync = %v, want canceled", err)
			}
		})
		synctest.Wait()
		for range 5 {
			group.Go(func() { s.sync(syncer) })
		}
		advance(time.Second)
		cancel()
		group.Wait()
		s.expect("six concurrent syncs", 1, false)
		s.sync(syncer)
		s.expect("a later sync", 2, false)
		if !slices.Equal(s.results, []error{nil, nil}) {
			t.Errorf("results = %v, want two without an error", s.results)
		}
	})
}

func TestRequestSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTable(t, time.Second)
		syncer := s.replica(0)
		stop := await.Run(t, syncer.Run)
		advance(time.Minute)
		s.set(func() { s.err = errors.New("away") })
		syncer.RequestSync()
		advance(time.Minute)
		s.expect("while Redis fails", 1, false)
		s.set(func() { s.err = nil })
		advance(time.Minute)
		s.expect("after that", 2, false)
		s.set(func() { s.first = 9 })
		syncer.RequestSync()
		advance(time.Minute)
		s.expect("while another replica is first", 2, true)
		s.set(func() { s.first = 0 })
		advance(time.Minute)
		s.expect("once this one is first", 3, false)
		syncer.RequestSync()
		advance(1500 * time.Millisecond)
		syncer.RequestSync() // within the window that starts share
		advance(time.Minute)
		s.expect("after two more requests", 5, false)
		var syncing sync.WaitGroup
		syncing.Go(func() { s.sync(syncer) })
		advance(500 * time.Millisecond)
		syncer.RequestSync() // the sync in flight may have posted the user already
		advance(time.Minute)
		syncing.Wait()
		stop()
		s.expect("after a request during a sync", 7, false)
	})
}
