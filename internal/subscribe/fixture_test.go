package subscribe_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/ownertest"
	"outlook-monitor/internal/store"
	"outlook-monitor/internal/subscribe"
)

const (
	lifetime = time.Hour // requested
	annID    = ooo.RecordID("8f1c9d2e-0000-4000-8000-000000000001")
)

// idOf returns the id of another mailbox.
func idOf(name string) ooo.RecordID { return ooo.RecordID("id-" + name) }

// fixture is a subscriber with the real registry, an embedded Redis and a Graph in memory,
// in a synctest bubble.
type fixture struct {
	*fakeGraph
	t        *testing.T
	store    *ownertest.Store
	registry *ownertest.Owner
	notFirst atomic.Bool // another replica owns partition 0
	share    float64     // of the budget

	mu    sync.Mutex
	reads int                  // of Ann's mailbox, since the last takeReads; guarded by mu, as all below
	waits map[string]time.Time // that Graph asked for
	swept []subscribe.SweepResult

	records func() (store.Loaded, error) // of the partition of Ann's mailbox, instead of those in Redis
}

// inBubble runs test in a bubble; Redis runs outside of it.
func inBubble(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	ownertest.InBubble(t, func(t *testing.T, s *ownertest.Store) {
		test(t, &fixture{fakeGraph: newGraph(), t: t, store: s, waits: map[string]time.Time{}, share: 1})
	})
}

func (f *fixture) MayStart(int) bool    { return f.registry.InTime() }
func (f *fixture) Share() float64       { return f.share }
func (f *fixture) OwnsPartition0() bool { return !f.notFirst.Load() }
func (f *fixture) Wait(name string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return max(time.Until(f.waits[name]), 0)
}

func (f *fixture) SetWait(_ context.Context, name string, wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waits[name] = time.Now().Add(wait)
}

// start runs a subscriber that owns all partitions until the returned stop, which waits for
// the steps in flight.
func (f *fixture) start(edits ...func(*subscribe.Config)) (stop func()) {
	f.t.Helper()
	f.registry = ownertest.NewOwner(f.t, mailbox.Config{Store: f.store, Interval: time.Hour})
	cfg := subscribe.Config{
		Registry: f.registry.Registry, Owners: f, Graph: f, Resources: []string{events}, Lifetime: lifetime, SweepInterval: 100_000 * time.Hour,
		URLs:        func() *subscribe.URLs { return &want.URLs },
		Keys:        func(context.Context) (ooo.ClientStateKeys, error) { return keys, nil },
		Certificate: func() ooo.Certificate { return ooo.Certificate{} },
		ReadNow: func(id ooo.RecordID, source ooo.Source) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if id == annID {
				f.reads++
			}
		},
		Records: func(ctx context.Context, p int) (loaded store.Loaded, err error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.records != nil && p == annID.Partition() {
				return f.records()
			}
			return f.store.Load(ctx, p)
		},
		OnStep: func(subscribe.Step, error) {},
		OnSweep: func(result subscribe.SweepResult) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.swept = append(f.swept, result)
		},
		Log: slog.New(slog.DiscardHandler),
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	s := subscribe.New(cfg)
	stopRegistry := f.registry.Run(s)
	stopSubscriber := await.Run(f.t, s.Run)
	return func() { stopSubscriber(); stopRegistry() }
}

// monitor starts or stops monitoring a mailbox.
func (f *fixture) monitor(id ooo.RecordID, on bool) {
	f.t.Helper()
	h := f.store.ChangeWish(f.t, string(id)+"@contoso.example", func(wish *ooo.Wish) {
		wish.On, wish.Person, wish.StartID = on, ooo.Person{ID: ooo.ObjectID(id)}, "start"
	})
	if f.registry != nil {
		f.registry.Hint(h)
	}
}

// monitorMany starts monitoring the mailboxes 0 to n-1.
func (f *fixture) monitorMany(n int) {
	f.t.Helper()
	for i := range n {
		f.monitor(idOf(fmt.Sprint(i)), true)
	}
}

// hint leaves a hint "subscription" for Ann's mailbox.
func (f *fixture) hint(reason string) {
	f.registry.Hint(ooo.Hint{ID: annID, Kind: ooo.HintSubscription, Subject: reason, Reason: reason})
}

// edit changes Ann's subscription in the record.
func (f *fixture) edit(change func(s *ooo.Subscription)) {
	f.t.Helper()
	if _, err := f.registry.Update(annID, func(d *mailbox.Draft) error { change(&d.Subscriptions[0]); return nil }); err != nil {
		f.t.Fatal(err)
	}
}

// dropKey makes Ann's subscription need a replacement.
func (f *fixture) dropKey() {
	f.t.Helper()
	f.edit(func(s *ooo.Subscription) { s.KeyTag = "dropped" })
}

// sub returns the first subscription in the saved record of a mailbox.
func (f *fixture) sub(id ooo.RecordID) ooo.Subscription {
	if m := f.store.Record(f.t, id); m != nil && len(m.Subscriptions) > 0 {
		return m.Subscriptions[0]
	}
	return ooo.Subscription{}
}

// takeReads returns the number of reads of Ann's mailbox since the last call.
func (f *fixture) takeReads() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, f.reads = f.reads, 0
	return n
}

// withCovered runs test after Ann's mailbox is covered, by sub-1.
func withCovered(t *testing.T, test func(t *testing.T, f *fixture), edits ...func(*subscribe.Config)) {
	t.Helper()
	withUncovered(t, func(*fixture) {}, func(t *testing.T, f *fixture) {
		advance(time.Second)
		if got := f.takeCalls(); got != "create" || f.takeReads() != 1 {
			t.Fatalf("first calls = %s, want create and a read", got)
		}
		test(t, f)
	}, edits...)
}

// eachCovered is withCovered with a subtest for each of tests.
func eachCovered[T any](t *testing.T, tests map[string]T, test func(t *testing.T, f *fixture, tt T), edits ...func(*subscribe.Config)) {
	t.Helper()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			withCovered(t, func(t *testing.T, f *fixture) { test(t, f, tt) }, edits...)
		})
	}
}

// withUncovered runs test once Ann's mailbox is monitored, before it is covered.
func withUncovered(t *testing.T, prepare func(f *fixture), test func(t *testing.T, f *fixture), edits ...func(*subscribe.Config)) {
	t.Helper()
	inBubble(t, func(t *testing.T, f *fixture) {
		prepare(f)
		f.monitor(annID, true)
		defer f.start(edits...)()
		test(t, f)
	})
}

// advance lets time pass and waits until all goroutines are blocked, so that the test may
// read what they wrote.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// expect checks that Ann's mailbox is covered by exactly the subscription id without a failure,
// was read this often, and has no hints left. With an empty id it checks that nothing is left.
func (f *fixture) expect(id ooo.SubscriptionID, reads int) {
	f.t.Helper()
	f.expectNoHints()
	if id == "" {
		left := 0
		f.set(func() { left = len(f.subscriptions) })
		if m := f.store.Record(f.t, annID); m != nil || left != 0 {
			f.t.Errorf("record = %+v with %d subscriptions in Graph, want none", m, left)
		}
		return
	}
	s := f.sub(annID)
	if s.ID != id || s.State != ooo.SubscriptionLive || s.Failures != 0 || s.Error != "" || s.Replaces != "" {
		f.t.Errorf("record = %+v, want %s live without an error", s, id)
	}
	if got := f.takeReads(); got != reads {
		f.t.Errorf("read %d times, want %d", got, reads)
	}
	f.set(func() {
		if user, _, ok := rotated.Verify(f.clientStates[id]); !ok || user != annID.ObjectID() {
			f.t.Errorf("clientState of %s is not valid for the mailbox", id)
		}
		if n := len(f.listed()); n != 1 {
			f.t.Errorf("%d subscriptions in Graph, want 1", n)
		}
	})
}

func (f *fixture) expectNoHints() {
	f.t.Helper()
	if hints, err := f.store.Hints(f.t.Context()); err != nil || len(hints) != 0 {
		f.t.Errorf("hints = %+v, %v, want none left", hints, err)
	}
}
