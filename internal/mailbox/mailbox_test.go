package mailbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

const (
	ann   = "Ann@contoso.example"
	annID = ooo.ObjectID("8f1c9d2e-0000-4000-8000-000000000001")
	bobID = ooo.ObjectID("8f1c9d2e-0000-4000-8000-000000000002")
)

var lease = store.Lease{Life: "me", Tenure: 1}

// faulty is the store with faults of the moment.
type faulty struct {
	*store.Store
	save atomic.Pointer[func(ctx context.Context, s store.Save) error] // instead of Save; nil: no fault
}

func (f *faulty) Save(ctx context.Context, s store.Save) error {
	if instead := f.save.Load(); instead != nil {
		return (*instead)(ctx, s)
	}
	return f.Store.Save(ctx, s)
}

// recorder is a worker that only notes what it hears.
type recorder struct {
	mu      sync.Mutex
	changed map[ooo.RecordID]*ooo.Mailbox
	hints   []ooo.Hint
	dropped []ooo.RecordID
}

func (r *recorder) Changed(m *ooo.Mailbox) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed[m.ID] = m
}

func (r *recorder) Hinted(h ooo.Hint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hints = append(r.hints, h)
}

func (r *recorder) Dropped(id ooo.RecordID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped = append(r.dropped, id)
}

func (r *recorder) hinted(kind ooo.HintKind) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.hints, func(h ooo.Hint) bool { return h.Kind == kind })
}

type world struct {
	*mailbox.Registry
	t       *testing.T
	store   *faulty
	raw     *redis.Client
	worker  *recorder
	inTime  atomic.Bool
	unknown atomic.Int32
	damaged atomic.Int32
}

func newWorld(t *testing.T, before ...func(*world)) *world {
	t.Helper()
	embedded, err := store.Embed()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(embedded.Close)
	options, err := redis.ParseURL(embedded.URL())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, raw: redis.NewClient(options), worker: &recorder{changed: map[ooo.RecordID]*ooo.Mailbox{}}}
	t.Cleanup(func() { _ = w.raw.Close() })
	opened, err := store.Open(store.Config{URL: embedded.URL(), Fingerprint: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	w.store = &faulty{Store: opened}
	w.own(lease)
	for _, prepare := range before {
		prepare(w)
	}
	w.start()
	return w
}

// own has the table name a lease for all partitions.
func (w *world) own(lease store.Lease) {
	for p := range ooo.Partitions {
		if err := w.raw.HSet(w.t.Context(), "om:{om}:owners", store.LeaseField(p), lease.String()).Err(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// start runs a registry that has acquired everything.
func (w *world) start() {
	w.inTime.Store(true)
	var err error
	w.Registry, err = mailbox.New(mailbox.Config{
		Store: w.store, MayStart: func(int) bool { return w.inTime.Load() }, Interval: 2 * time.Second, Log: slog.New(slog.NewTextHandler(w.t.Output(), nil)),
		Damaged: func(string) { w.damaged.Add(1) }, Unknown: func(ooo.HintKind) { w.unknown.Add(1) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	registry := w.Registry
	running.Go(func() { _ = registry.Run(ctx, w.worker) })
	w.t.Cleanup(func() { stop(); running.Wait() })
	for p := range ooo.Partitions {
		registry.Acquire(ctx, p, lease)
	}
}

// eventually waits until holds; it fails the test after half a minute.
func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: did not come about", what)
		}
	}
}

// wish writes a wish as the API does: by compare, until it is the last.
func (w *world) wish(change func(*ooo.Wish)) {
	w.t.Helper()
	ctx := w.t.Context()
	for {
		old, err := w.store.Wish(ctx, ann)
		if err != nil {
			w.t.Fatal(err)
		}
		next := old
		if old.Nonce == "" {
			next = ooo.Wish{Address: ann, On: true, Person: ooo.Person{ID: annID, DisplayName: "Ann"}, Start: "first", Source: ooo.Mediator}
		}
		if change != nil {
			change(&next)
		}
		next.Nonce, next.At = fmt.Sprint(time.Now().UnixNano()), time.Now()
		h := ooo.Hint{ID: next.Record(), Kind: ooo.HintWish, Subject: ooo.FoldAddress(ann), Nonce: next.Nonce}
		if ok, err := w.store.SwapWish(ctx, old, next, h); err != nil {
			w.t.Fatal(err)
		} else if ok {
			return
		}
	}
}

func off(n *ooo.Wish) { n.On = false }

// mailboxOf waits until the record is as wanted.
func (w *world) mailboxOf(id ooo.ObjectID, what string, wanted func(m *ooo.Mailbox) bool) *ooo.Mailbox {
	w.t.Helper()
	var found *ooo.Mailbox
	w.eventually(what, func() bool {
		m, ok := w.Get(ooo.RecordID(id))
		found = m
		return ok && wanted(m)
	})
	return found
}

func monitored(m *ooo.Mailbox) bool { return len(m.Addresses) == 1 }

// away has the mailbox read as out of office.
func away(w *world, id ooo.ObjectID) {
	w.t.Helper()
	_, err := w.Update(w.t.Context(), ooo.RecordID(id), func(d *mailbox.Draft) error {
		d.Condition, d.State = ooo.Watching, &ooo.State{Away: true, Message: "Gone"}
		d.QueueState(ooo.SourcePoll, ooo.Hint{}, time.Now())
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) kinds() (kinds []ooo.EventKind) {
	w.t.Helper()
	events, err := w.store.History(w.t.Context(), ann, 100)
	if err != nil && !errors.Is(err, ooo.ErrNotMonitored) {
		w.t.Fatal(err)
	}
	for _, e := range slices.Backward(events) {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func (w *world) noHints() {
	w.t.Helper()
	w.eventually("all hints carried out", func() bool {
		hints, _, err := w.store.Hints(w.t.Context())
		return err == nil && len(hints) == 0
	})
}

func TestWishes(t *testing.T) {
	t.Run("a start makes a record, and what was asked before it was owned counts", func(t *testing.T) {
		w := newWorld(t, func(w *world) { w.wish(nil) })
		m := w.mailboxOf(annID, "the record", monitored)
		if a := m.Addresses[0]; m.Condition != ooo.Pending || a.Spelling != ann || m.Person.DisplayName != "Ann" {
			t.Errorf("record = %+v, want Ann, pending", m)
		}
		w.noHints()
		if got := w.kinds(); !slices.Equal(got, []ooo.EventKind{ooo.EventStarted}) {
			t.Errorf("history = %v, want started", got)
		}
	})
	t.Run("a stop removes record, wish and history", func(t *testing.T) {
		w := newWorld(t)
		w.wish(nil)
		w.mailboxOf(annID, "the record", monitored)
		w.wish(off)
		w.eventually("the end", func() bool { _, ok := w.Get(ooo.RecordID(annID)); return !ok })
		w.noHints()
		wish, err := w.store.Wish(t.Context(), ann)
		if err != nil || wish.Nonce != "" {
			t.Errorf("wish = %+v, %v, want none", wish, err)
		}
		if n, _ := w.raw.Exists(t.Context(), "om:{om}:history:"+ooo.FoldAddress(ann)).Result(); n != 0 {
			t.Error("the history is still there")
		}
	})
	t.Run("a stop waits for the subscriptions", func(t *testing.T) {
		w := newWorld(t)
		w.wish(nil)
		w.mailboxOf(annID, "the record", monitored)
		_, err := w.Update(t.Context(), ooo.RecordID(annID), func(d *mailbox.Draft) error {
			d.Subscriptions = []ooo.Subscription{{Resource: "r", ID: "s", State: ooo.SubscriptionLive}}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		w.wish(off)
		w.mailboxOf(annID, "no address", func(m *ooo.Mailbox) bool { return len(m.Addresses) == 0 })
	})
	t.Run("a start anew delivers the state again, a repeated one does not", func(t *testing.T) {
		w := newWorld(t)
		w.wish(nil)
		w.mailboxOf(annID, "the record", monitored)
		away(w, annID)
		w.wish(func(n *ooo.Wish) { n.Address = "ANN@contoso.example" })
		m := w.mailboxOf(annID, "the spelling", func(m *ooo.Mailbox) bool { return m.Addresses[0].Spelling == "ANN@contoso.example" })
		if m.Addresses[0].Sequence != 1 {
			t.Errorf("sequence = %d, want 1", m.Addresses[0].Sequence)
		}
		w.wish(func(n *ooo.Wish) { n.Start = "second" })
		w.mailboxOf(annID, "another delivery", func(m *ooo.Mailbox) bool { return m.Addresses[0].Sequence == 2 })
		w.noHints()
		want := []ooo.EventKind{ooo.EventStarted, ooo.EventChanged, ooo.EventStarted, ooo.EventOvertaken, ooo.EventChanged}
		if got := w.kinds(); !slices.Equal(got, want) {
			t.Errorf("history = %v, want %v", got, want)
		}
	})
	t.Run("what was asked last holds", func(t *testing.T) {
		w := newWorld(t)
		for i := range 20 {
			w.wish(func(n *ooo.Wish) { n.On, n.Start = true, fmt.Sprint(i) })
			w.wish(off)
		}
		w.wish(func(n *ooo.Wish) { n.On, n.Start = true, "last" })
		w.mailboxOf(annID, "the last start", func(m *ooo.Mailbox) bool { return monitored(m) && m.Addresses[0].Start == "last" })
		w.noHints()
	})
	t.Run("an address moves to another mailbox with its delivery", func(t *testing.T) {
		w := newWorld(t)
		w.wish(nil)
		w.mailboxOf(annID, "the record", monitored)
		away(w, annID)
		_, err := w.Update(t.Context(), ooo.RecordID(annID), func(d *mailbox.Draft) error {
			wish, err := w.store.Wish(t.Context(), ann)
			wish.Person = ooo.Person{ID: bobID}
			d.MoveAddress(d.Address(ann), wish)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		m := w.mailboxOf(bobID, "the other record", monitored)
		if m.Addresses[0].Sequence != 1 || m.State == nil || !m.State.Away {
			t.Errorf("moved = %+v %+v, want sequence 1 and the state", m.Addresses[0], m.State)
		}
		if _, ok := w.Get(ooo.RecordID(annID)); ok {
			t.Error("the record that it left is still there")
		}
		w.noHints()
	})
	t.Run("a damaged wish and a damaged record leave all others alone", func(t *testing.T) {
		w := newWorld(t, func(w *world) {
			w.wish(nil)
			id := ooo.RecordID("damaged")
			w.raw.HSet(t.Context(), fmt.Sprintf("om:{om}:records:%d", id.Partition()), string(id), "3:{")
			w.raw.HSet(t.Context(), "om:{om}:wants", "bob@contoso.example", "x:{")
			h := ooo.Hint{ID: ooo.RecordID(bobID), Kind: ooo.HintWish, Subject: "bob@contoso.example", Nonce: "n"}
			if err := w.store.LeaveHints(t.Context(), false, h); err != nil {
				t.Fatal(err)
			}
		})
		w.mailboxOf(annID, "the record", monitored)
		w.eventually("both reported", func() bool { return w.damaged.Load() == 2 })
	})
}

func TestHints(t *testing.T) {
	w := newWorld(t)
	w.wish(nil)
	w.mailboxOf(annID, "the record", monitored)
	h := ooo.Hint{ID: ooo.RecordID(annID), Kind: ooo.HintRead}
	if err := w.Leave(t.Context(), h, ooo.Hint{ID: "nobody", Kind: ooo.HintRead}); err != nil {
		t.Fatal(err)
	}
	w.eventually("the worker hears", func() bool { return w.worker.hinted(ooo.HintRead) })
	w.eventually("the unknown one is counted", func() bool { return w.unknown.Load() == 1 })
	first := w.Hints(h.ID, ooo.HintRead)
	if len(first) != 1 {
		t.Fatalf("waiting = %v, want one", first)
	}
	if err := w.Leave(t.Context(), h); err != nil { // again, before the first is carried out
		t.Fatal(err)
	}
	if err := w.Done(t.Context(), first...); err != nil {
		t.Fatal(err)
	}
	second := w.Hints(h.ID, ooo.HintRead)
	if len(second) != 1 || second[0].Nonce == first[0].Nonce {
		t.Fatalf("waiting = %v, want the second", second)
	}
	_, err := w.Update(t.Context(), h.ID, func(d *mailbox.Draft) error { d.Done(second...); return nil })
	if err != nil || len(w.Hints(h.ID, ooo.HintRead)) != 0 {
		t.Errorf("after the save: %v, %v, want no hint", err, w.Hints(h.ID, ooo.HintRead))
	}
	w.noHints()
}

func TestUpdate(t *testing.T) {
	ready := func(t *testing.T) *world {
		w := newWorld(t)
		w.wish(nil)
		w.mailboxOf(annID, "the record", monitored)
		return w
	}
	id := ooo.RecordID(annID)
	rename := func(d *mailbox.Draft) error { d.Person.DisplayName += "!"; return nil }
	t.Run("answers that are lost are asked for until one comes, and the save is done once", func(t *testing.T) {
		w := ready(t)
		lost := 0
		fault := func(ctx context.Context, s store.Save) error {
			if err := w.store.Store.Save(ctx, s); err != nil {
				return err
			}
			if lost++; lost < 3 {
				return context.DeadlineExceeded
			}
			return nil
		}
		w.store.save.Store(&fault)
		m, err := w.Update(t.Context(), id, rename)
		if err != nil || m.Person.DisplayName != "Ann!" || m.Version != 2 {
			t.Errorf("Update = %+v, %v, want version 2", m, err)
		}
		saves, _ := w.Saves(id.Partition())
		if got, _ := w.raw.HGet(t.Context(), "om:{om}:owners", store.SavesField(id.Partition())).Int64(); got != saves {
			t.Errorf("Redis counts %d saves, memory %d", got, saves)
		}
	})
	t.Run("a refused save waits for what the table says", func(t *testing.T) {
		w := ready(t)
		w.own(store.Lease{Life: "other", Tenure: 7})
		ended := make(chan error, 1)
		go func() {
			_, err := w.Update(context.Background(), id, rename)
			ended <- err
		}()
		w.Drop(id.Partition())
		if err := <-ended; !errors.Is(err, ooo.ErrNotOwner) {
			t.Errorf("Update = %v, want ErrNotOwner", err)
		}
	})
	t.Run("nothing begins that must not", func(t *testing.T) {
		w := ready(t)
		begin := func(kind mailbox.Kind) bool {
			done, ok := w.Begin(id, kind, "")
			if ok {
				done()
			}
			return ok
		}
		done, ok := w.Begin(id, mailbox.Read, "")
		if !ok || begin(mailbox.Read) || !begin(mailbox.Subscription) {
			t.Error("want one read and one step at a time")
		}
		w.inTime.Store(false)
		if begin(mailbox.Subscription) {
			t.Error("begins past the deadline")
		}
		w.inTime.Store(true)
		drained := make(chan error, 1)
		go func() { drained <- w.Drain(context.Background(), id.Partition(), false) }()
		w.eventually("draining", func() bool { return !begin(mailbox.Subscription) })
		done()
		if err := <-drained; err != nil {
			t.Errorf("Drain = %v", err)
		}
	})
}

func TestRedisComesBackOlder(t *testing.T) {
	w := newWorld(t)
	id := ooo.RecordID(annID)
	w.wish(nil)
	w.mailboxOf(annID, "the record", monitored)
	key := fmt.Sprintf("om:{om}:records:%d", id.Partition())
	older, err := w.raw.HGet(t.Context(), key, string(id)).Result()
	if err != nil {
		t.Fatal(err)
	}
	away(w, annID)
	saves, _ := w.Saves(id.Partition())
	restored := func(t *testing.T) {
		w.Restore(t.Context(), id.Partition(), lease)
		loaded, err := w.store.Load(t.Context(), id.Partition())
		if err != nil || len(loaded.Records) != 1 || loaded.Records[0].State == nil || loaded.Records[0].Version != 2 {
			t.Fatalf("in Redis = %+v, %v, want version 2 with its state", loaded, err)
		}
		if loaded.Saves < saves {
			t.Errorf("saves = %d, want %d at least", loaded.Saves, saves)
		}
		if wish, err := w.store.Wish(t.Context(), ann); err != nil || !wish.On {
			t.Errorf("wish = %+v, %v, want on", wish, err)
		}
	}
	t.Run("with an older record, and one that was removed since", func(t *testing.T) {
		other := id
		for i := 0; other == id || other.Partition() != id.Partition(); i++ {
			other = ooo.RecordID(fmt.Sprint("x", i))
		}
		w.raw.HSet(t.Context(), key, string(id), older, string(other), `1:{"id":"`+string(other)+`","addresses":[]}`)
		w.raw.HSet(t.Context(), "om:{om}:owners", store.SavesField(id.Partition()), 1)
		restored(t)
	})
	t.Run("empty", func(t *testing.T) {
		w.raw.FlushAll(t.Context())
		w.own(lease)
		restored(t)
	})
	t.Run("with a wish whose end was carried out", func(t *testing.T) {
		wish, _ := w.raw.HGet(t.Context(), "om:{om}:wants", ooo.FoldAddress(ann)).Result()
		w.wish(off)
		w.eventually("the end", func() bool { _, ok := w.Get(id); return !ok })
		w.raw.HSet(t.Context(), "om:{om}:wants", ooo.FoldAddress(ann), wish)
		w.Restore(t.Context(), id.Partition(), lease)
		w.eventually("the wish is gone", func() bool {
			wish, err := w.store.Wish(t.Context(), ann)
			return err == nil && wish.Nonce == ""
		})
	})
}
