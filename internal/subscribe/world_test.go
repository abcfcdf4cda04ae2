package subscribe_test

import (
	"context"
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
	"outlook-monitor/internal/subscribe"
)

// life is what is asked for.
const life = 12 * time.Hour

const annID = ooo.RecordID("8f1c9d2e-0000-4000-8000-000000000001")

// idOf returns the mailbox of a name, of those that tests need more of.
func idOf(name string) ooo.RecordID { return ooo.RecordID("id-" + name) }

// world is the real registry over a store in memory, and a Graph in memory, by the
// clock of the test's bubble.
type world struct {
	*fakeGraph
	t        *testing.T
	store    *ownertest.Store
	registry *ownertest.Owner
	urls     *subscribe.URLs // nil: not known yet
	second   atomic.Bool     // another replica owns partition 0
	share    float64         // of the budget

	mu    sync.Mutex
	reads map[ooo.RecordID]int // guarded by mu, as all below
	waits map[string]time.Time // that Graph asked for
	swept []subscribe.SweepResult
}

// inBubble runs a story in a bubble; Redis is outside of it.
func inBubble(t *testing.T, story func(t *testing.T, w *world)) {
	t.Helper()
	ownertest.InBubble(t, func(t *testing.T, s *ownertest.Store) {
		story(t, &world{fakeGraph: newGraph(), t: t, store: s, reads: map[ooo.RecordID]int{},
			waits: map[string]time.Time{}, urls: &want.URLs, share: 1})
	})
}

func (w *world) MayStart(int) bool { return w.registry.InTime() }
func (w *world) Share() float64    { return w.share }
func (w *world) First() bool       { return !w.second.Load() }
func (w *world) Wait(name string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(time.Until(w.waits[name]), 0)
}

// start owns all partitions until the returned stop, which waits for what is in
// flight as the replica does.
func (w *world) start(edits ...func(*subscribe.Config)) (s *subscribe.Subscriber, stop func()) {
	w.t.Helper()
	w.registry = ownertest.NewOwner(w.t, mailbox.Config{Store: w.store, Interval: time.Hour})
	cfg := subscribe.Config{
		Registry: w.registry.Registry, Owners: w, Graph: w, Resources: []string{events}, Lifetime: life, SweepInterval: 100_000 * time.Hour,
		Keys:        func(context.Context) (ooo.ClientStateKeys, error) { return keys, nil },
		Certificate: func() (ooo.Certificate, error) { return ooo.Certificate{}, nil },
		SetWait: func(_ context.Context, name string, wait time.Duration) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.waits[name] = time.Now().Add(wait)
			return nil
		},
		ReadNow: func(id ooo.RecordID, source ooo.Source) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.reads[id]++
		},
		Records: w.store.Load,
		OnStep:  func(subscribe.Step, error) {},
		OnSweep: func(f subscribe.SweepResult) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.swept = append(w.swept, f)
		},
		Log: slog.New(slog.DiscardHandler),
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	s = subscribe.New(cfg)
	if w.urls != nil {
		s.SetURLs(*w.urls)
	}
	registry := w.registry.Run(s)
	work := await.Run(w.t, s.Run)
	return s, func() { work(); registry() }
}

// monitor has a mailbox monitored, or not any more.
func (w *world) monitor(id ooo.RecordID, on bool) {
	w.t.Helper()
	h := w.store.ChangeWish(w.t, string(id)+"@contoso.example", func(wish *ooo.Wish) {
		wish.On, wish.Person, wish.Start = on, ooo.Person{ID: ooo.ObjectID(id)}, "start"
	})
	if w.registry != nil {
		w.registry.Hint(h)
	}
}

// hint leaves a hint "subscription" for Ann's mailbox.
func (w *world) hint(reason string) {
	w.registry.Hint(ooo.Hint{ID: annID, Kind: ooo.HintSubscription, Subject: reason, Reason: reason})
}

// change edits Ann's first subscription as it is saved.
func (w *world) change(edit func(s *ooo.Subscription)) {
	w.t.Helper()
	_, err := w.registry.Update(annID, func(d *mailbox.Draft) error {
		edit(&d.Subscriptions[0])
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// sub returns the first subscription of a mailbox as it is saved.
func (w *world) sub(id ooo.RecordID) ooo.Subscription {
	if m := w.store.Record(w.t, id); m != nil && len(m.Subscriptions) > 0 {
		return m.Subscriptions[0]
	}
	return ooo.Subscription{}
}

// wasRead counts the reads of a mailbox since the last look.
func (w *world) wasRead(id ooo.RecordID) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.reads[id]
	delete(w.reads, id)
	return n
}

// covered runs a story of one mailbox that is covered already: by sub-1.
func covered(t *testing.T, story func(t *testing.T, w *world), edits ...func(*subscribe.Config)) {
	t.Helper()
	starting(t, func(*world) {}, func(t *testing.T, w *world) {
		pass(time.Second)
		if got := w.story(); got != "create" || w.wasRead(annID) != 1 {
			t.Fatalf("calls at first = %s, want create and a read", got)
		}
		story(t, w)
	}, edits...)
}

// starting runs a story of one mailbox that is not covered yet, in a world that was
// prepared.
func starting(t *testing.T, prepare func(w *world), story func(t *testing.T, w *world), edits ...func(*subscribe.Config)) {
	t.Helper()
	inBubble(t, func(t *testing.T, w *world) {
		prepare(w)
		w.monitor(annID, true)
		_, stop := w.start(edits...)
		defer stop()
		story(t, w)
	})
}

// pass lets time pass, and what it set off come to rest: what the test reads then
// nobody changes meanwhile.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// settled fails the test unless the mailbox is live with an id, read as often, with
// the clientState of ours, and no hint waits.
func (w *world) settled(id ooo.SubscriptionID, reads int) {
	w.t.Helper()
	s := w.sub(annID)
	if s.ID != id || s.State != ooo.SubscriptionLive || s.Failures != 0 || s.Error != "" || s.Replaces != "" {
		w.t.Errorf("record = %+v, want %s live without an error", s, id)
	}
	if got := w.wasRead(annID); got != reads {
		w.t.Errorf("read %d times, want %d", got, reads)
	}
	w.set(func() {
		if who, ok := rotated.Verify(w.states[id]); !ok || who != annID.ObjectID() {
			w.t.Errorf("clientState of %s is not ours", id)
		}
		if len(w.listed()) != 1 {
			w.t.Errorf("%d subscriptions in Graph, want 1", len(w.listed()))
		}
	})
	if hints, _ := w.store.Hints(w.t.Context()); len(hints) != 0 {
		w.t.Errorf("hints = %+v, want none left", hints)
	}
}
