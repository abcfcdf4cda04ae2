package mailbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/ownertest"
	"outlook-monitor/internal/store"
)

const (
	ann   = "Ann@contoso.example"
	annID = ooo.ObjectID("8f1c9d2e-0000-4000-8000-000000000001")
	bobID = ooo.ObjectID("8f1c9d2e-0000-4000-8000-000000000002")
)

// faulty is the store with faults of the moment.
type faulty struct {
	*ownertest.Store
	put      atomic.Pointer[func()] // before PutReads; nil: nothing
	setSaves atomic.Pointer[func()] // before SetSaves; nil: nothing
	wishes   atomic.Int32           // that were read
}

func (f *faulty) Wish(ctx context.Context, address string) (ooo.Wish, error) {
	defer f.wishes.Add(1)
	return f.Store.Wish(ctx, address)
}

func (f *faulty) SetSaves(ctx context.Context, lease store.Lease, p int, n int64) error {
	if before := f.setSaves.Load(); before != nil {
		(*before)()
	}
	return f.Store.SetSaves(ctx, lease, p, n)
}

func (f *faulty) PutReads(ctx context.Context, reads map[int]store.Reads) error {
	if before := f.put.Load(); before != nil {
		(*before)()
	}
	return f.Store.PutReads(ctx, reads)
}

// recorder is a worker that only notes its calls.
type recorder struct {
	hook    atomic.Pointer[func(call string)] // called before it notes that a mailbox changed or dropped; nil: nothing
	mu      sync.Mutex
	changed map[ooo.RecordID]*ooo.Mailbox // and not dropped since
	hints   []ooo.Hint
	dropped []ooo.RecordID
}

func (r *recorder) Changed(m *ooo.Mailbox) {
	r.call("changed")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed[m.ID] = m
}

func (r *recorder) call(name string) {
	if hook := r.hook.Load(); hook != nil {
		(*hook)(name)
	}
}

func (r *recorder) knows(id ooo.ObjectID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed[ooo.RecordID(id)] != nil
}

func (r *recorder) Hinted(h ooo.Hint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hints = append(r.hints, h)
}

func (r *recorder) Dropped(id ooo.RecordID) {
	r.call("dropped")
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.changed, id)
	r.dropped = append(r.dropped, id)
}

func (r *recorder) hinted(kind ooo.HintKind) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.hints, func(h ooo.Hint) bool { return h.Kind == kind })
}

type world struct {
	*ownertest.Owner
	t       *testing.T
	store   *faulty
	raw     *redis.Client
	worker  *recorder
	unknown atomic.Int32
	damaged atomic.Int32
}

func newWorld(t *testing.T, before ...func(*world)) *world {
	t.Helper()
	w := &world{t: t, worker: &recorder{changed: map[ooo.RecordID]*ooo.Mailbox{}}}
	opened, url := ownertest.Open(t, store.Config{Fingerprint: t.Name(), OnDamaged: func(string) { w.damaged.Add(1) }})
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	w.store, w.raw = &faulty{Store: opened}, redis.NewClient(options)
	t.Cleanup(func() { _ = w.raw.Close() })
	for _, prepare := range before {
		prepare(w)
	}
	w.Owner = ownertest.NewOwner(t, mailbox.Config{Store: w.store, OnUnknownHint: func(ooo.HintKind) { w.unknown.Add(1) }})
	w.Run(w.worker)
	return w
}

// monitoring is a world in which Ann is monitored.
func monitoring(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.wish(nil)
	w.mailboxOf(annID, "the record", monitored)
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

// acquire acquires a partition again.
func (w *world) acquire(id ooo.ObjectID) {
	w.Drop(ooo.RecordID(id).Partition())
	w.Acquire(w.t.Context(), ooo.RecordID(id).Partition(), ownertest.Lease)
}

// update changes Ann's record.
func (w *world) update(change func(d *mailbox.Draft)) *ooo.Mailbox {
	w.t.Helper()
	m, err := w.Update(ooo.RecordID(annID), func(d *mailbox.Draft) error { change(d); return nil })
	if err != nil {
		w.t.Error(err)
	}
	return m
}

// hint leaves a hint for Ann's mailbox; one about a wish is about her address.
func (w *world) hint(kind ooo.HintKind) {
	w.t.Helper()
	h := ooo.Hint{ID: ooo.RecordID(annID), Kind: kind}
	if kind == ooo.HintWish {
		h.Subject = ooo.FoldAddress(ann)
	}
	w.Hint(h)
}

// field returns a field of a hash of the store; empty if there is none.
func (w *world) field(key, field string) string {
	w.t.Helper()
	value, err := w.raw.HGet(w.t.Context(), key, field).Result()
	if err != nil && err != redis.Nil {
		w.t.Fatal(err)
	}
	return value
}

// meanwhile does what may have to wait for the caller, and gives it a while. wait
// returns once it has ended.
func meanwhile(do func()) (wait func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		do()
	}()
	select {
	case <-ended:
	case <-time.After(100 * time.Millisecond):
	}
	return func() { <-ended }
}

// gone waits until Ann has no record.
func (w *world) gone() {
	w.t.Helper()
	w.eventually("the end", func() bool { _, ok := w.Get(ooo.RecordID(annID)); return !ok })
}

// stored is the wish for Ann as Redis has it.
func (w *world) stored() ooo.Wish {
	w.t.Helper()
	wish, err := w.store.Wish(w.t.Context(), ann)
	if err != nil {
		w.t.Fatal(err)
	}
	return wish
}

func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	await.True(w.t, what, holds)
}

// wish changes the wish for Ann, or starts to monitor her.
func (w *world) wish(change func(*ooo.Wish)) {
	w.t.Helper()
	w.store.ChangeWish(w.t, ann, func(n *ooo.Wish) {
		if n.Start == "" {
			n.On, n.Person, n.Start = true, ooo.Person{ID: annID, DisplayName: "Ann"}, "first"
		}
		if change != nil {
			change(n)
		}
	})
}

func recordsOf(id ooo.RecordID) string { return fmt.Sprintf("om:{om}:records:%d", id.Partition()) }

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
func away(d *mailbox.Draft) {
	d.Condition, d.State = ooo.Watching, &ooo.State{Away: true, Message: "Gone"}
	d.QueueState(ooo.SourcePoll, ooo.Hint{}, time.Now())
}

// move moves the address to Bob's mailbox.
func move(d *mailbox.Draft) { d.MoveAddresses(ooo.Person{ID: bobID}) }

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
		hints, err := w.store.Hints(w.t.Context())
		return err == nil && len(hints) == 0
	})
}
