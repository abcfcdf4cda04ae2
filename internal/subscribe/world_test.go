package subscribe_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
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
	store    *faulty
	registry *mailbox.Registry
	urls     *subscribe.URLs // nil: not known yet
	late     atomic.Bool     // the ownership was not confirmed in time
	second   atomic.Bool     // another replica owns partition 0
	share    float64         // of the budget

	mu    sync.Mutex
	reads map[ooo.RecordID]int // guarded by mu, as all below
	waits map[string]time.Time // that Graph asked for
	swept []subscribe.Swept
}

var lease = store.Lease{Life: "me", Tenure: 1}

// inBubble runs a story in a bubble; Redis is outside of it.
func inBubble(t *testing.T, story func(t *testing.T, w *world)) {
	t.Helper()
	embedded, err := store.Embed()
	if err != nil {
		t.Fatal(err)
	}
	defer embedded.Close()
	synctest.Test(t, func(t *testing.T) {
		opened, err := store.Open(store.Config{URL: embedded.URL()})
		if err != nil {
			t.Fatal(err)
		}
		defer opened.Close()
		var swaps []store.Swap
		for p := range ooo.Partitions {
			swaps = append(swaps, store.Swap{Field: store.LeaseField(p), New: lease.String()})
		}
		if ok, err := opened.SwapOwners(t.Context(), swaps...); err != nil || !ok {
			t.Fatalf("SwapOwners = %t, %v, want true", ok, err)
		}
		story(t, &world{fakeGraph: newGraph(), t: t, store: &faulty{Store: opened}, reads: map[ooo.RecordID]int{},
			waits: map[string]time.Time{}, urls: &want.URLs, share: 1})
	})
}

func (w *world) MayStart(int) bool { return !w.late.Load() }
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
	var err error
	w.registry, err = mailbox.New(mailbox.Config{Store: w.store, MayStart: w.MayStart, Interval: time.Hour})
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := subscribe.Config{
		Registry: w.registry, Owners: w, Graph: w, Resources: []string{events}, Lifetime: life, SweepEvery: 100_000 * time.Hour,
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
		OnSweep: func(f subscribe.Swept) {
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
	registering, end := context.WithCancel(w.t.Context())
	ctx, cancel := context.WithCancel(registering)
	var running, work sync.WaitGroup
	registry := w.registry
	running.Go(func() { _ = registry.Run(registering, s) })
	for p := range ooo.Partitions {
		registry.Acquire(ctx, p, lease)
	}
	work.Go(func() {
		if err := s.Run(ctx); err != nil {
			w.t.Errorf("Run = %v, want nil", err)
		}
	})
	return s, sync.OnceFunc(func() { cancel(); work.Wait(); end(); running.Wait() })
}

// monitor has a mailbox monitored, or not any more.
func (w *world) monitor(id ooo.RecordID, on bool) {
	w.t.Helper()
	address := string(id) + "@contoso.example"
	old, err := w.store.Store.Wish(w.t.Context(), address)
	next := ooo.Wish{Address: address, On: on, Person: ooo.Person{ID: ooo.ObjectID(id)}, Start: "start", Nonce: old.Nonce + "+"}
	h := ooo.Hint{ID: id, Kind: ooo.HintWish, Subject: address, Nonce: next.Nonce}
	if err == nil {
		_, err = w.store.SwapWish(w.t.Context(), old, next, h)
	}
	if err == nil && w.registry != nil {
		err = w.registry.Leave(w.t.Context(), h)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// record returns what Redis has of a mailbox; nil: nothing.
func (w *world) record(id ooo.RecordID) *ooo.Mailbox {
	w.t.Helper()
	loaded, err := w.store.Load(w.t.Context(), id.Partition())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, m := range loaded.Records {
		if m.ID == id {
			return m
		}
	}
	return nil
}

// hint leaves a hint "subscription" for Ann's mailbox.
func (w *world) hint(reason string) {
	w.leave(ooo.Hint{ID: annID, Kind: ooo.HintSubscription, Subject: reason, Reason: reason})
}

func (w *world) leave(h ooo.Hint) {
	w.t.Helper()
	if err := w.registry.Leave(w.t.Context(), h); err != nil {
		w.t.Fatal(err)
	}
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
	if m := w.record(id); m != nil && len(m.Subscriptions) > 0 {
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
		w.t.Errorf("record = %+v, want %s live without trouble", s, id)
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

// faulty is the real store, over a Redis in this process, with faults of the moment.
type faulty struct {
	*store.Store
	mu    sync.Mutex
	saves []*ooo.Mailbox // guarded by mu, as err
	err   error          // of each write
}

func (f *faulty) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *faulty) failing() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *faulty) Save(ctx context.Context, s store.Save) error {
	if err := f.failing(); err != nil {
		return err
	}
	f.mu.Lock()
	f.saves = append(f.saves, s.Record)
	f.mu.Unlock()
	return f.Store.Save(ctx, s)
}

func (f *faulty) RemoveHints(ctx context.Context, hints ...ooo.Hint) error {
	if err := f.failing(); err != nil {
		return err
	}
	return f.Store.RemoveHints(ctx, hints...)
}

// Listen hears nothing: a goroutine that reads a socket would stop the bubble's clock.
func (f *faulty) Listen(ctx context.Context, heard func(store.Message)) error {
	heard(store.Message{})
	<-ctx.Done()
	return nil
}
