package mailbox_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/ownertest"
	"outlook-monitor/internal/store"
)

const (
	ann       = "Ann@contoso.example"
	respelled = "ANN@contoso.example"
	folded    = "ann@contoso.example"

	annID = "8f1c9d2e-0000-4000-8000-000000000001"
	bobID = "8f1c9d2e-0000-4000-8000-000000000002"

	wishes = "om:{om}:wants"
	owners = "om:{om}:owners"
)

var (
	annPartition = ooo.RecordID(annID).Partition()
	bobPartition = ooo.RecordID(bobID).Partition()
	annRecords   = fmt.Sprint("om:{om}:records:", annPartition)
)

// faulty is the store with hooks in some of its methods.
type faulty struct {
	*ownertest.Store
	hooks  sync.Map     // method -> func(), called after Load, and before SetSaves and AllWishes
	wishes atomic.Int32 // calls of Wish
	fail   atomic.Int32 // how many of the next of them, and of LoadRecord, fail
}

func (f *faulty) call(method string) {
	if hook, ok := f.hooks.Load(method); ok {
		hook.(func())()
	}
}

func (f *faulty) Wish(ctx context.Context, address string) (ooo.Wish, error) {
	defer f.wishes.Add(1)
	if f.fail.Add(-1) >= 0 {
		return ooo.Wish{}, errors.New("no answer from Redis")
	}
	return f.Store.Wish(ctx, address)
}

func (f *faulty) LoadRecord(ctx context.Context, id ooo.RecordID) (*ooo.Mailbox, error) {
	if f.fail.Add(-1) >= 0 {
		return nil, errors.New("no answer from Redis")
	}
	return f.Store.LoadRecord(ctx, id)
}

func (f *faulty) Load(ctx context.Context, p int) (store.Loaded, error) {
	defer f.call("Load")
	return f.Store.Load(ctx, p)
}

func (f *faulty) AllWishes(ctx context.Context) ([]ooo.Wish, error) {
	f.call("AllWishes")
	return f.Store.AllWishes(ctx)
}

func (f *faulty) SetSaves(ctx context.Context, lease store.Lease, p int, n int64) error {
	f.call("SetSaves")
	return f.Store.SetSaves(ctx, lease, p, n)
}

// recorder is a worker that records its calls.
type recorder struct {
	get    func(id ooo.RecordID) (*ooo.Mailbox, bool)
	hook   atomic.Pointer[func(exists bool)] // called first by Refresh; may be nil
	hinted atomic.Int32                      // calls of Hinted
	mu     sync.Mutex
	known  map[ooo.RecordID]bool // guarded by mu
}

func (r *recorder) Refresh(id ooo.RecordID) {
	_, exists := r.get(id)
	if hook := r.hook.Load(); hook != nil {
		(*hook)(exists)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, r.known[id] = r.get(id)
}

func (r *recorder) knowsAnn() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[annID]
}

func (r *recorder) Hinted(ooo.Hint) { r.hinted.Add(1) }

type fixture struct {
	*ownertest.Owner
	t       *testing.T
	store   *faulty
	raw     *redis.Client
	worker  *recorder
	tenure  int64 // of the last acquisition
	unknown atomic.Int32
	damaged atomic.Int32
}

func newFixture(t *testing.T, before ...func(*fixture)) *fixture {
	t.Helper()
	f := &fixture{t: t, tenure: ownertest.Lease.Tenure, worker: &recorder{known: map[ooo.RecordID]bool{}}}
	opened, url := ownertest.Open(t, store.Config{Fingerprint: t.Name(), OnDamaged: func(string) { f.damaged.Add(1) }})
	options, err := redis.ParseURL(url)
	must.NoError(t, err)
	f.store, f.raw = &faulty{Store: opened}, redis.NewClient(options)
	t.Cleanup(func() { _ = f.raw.Close() })
	for _, prepare := range before {
		prepare(f)
	}
	f.Owner = ownertest.NewOwner(t, mailbox.Config{Store: f.store, OnUnknownHint: func(ooo.HintKind) { f.unknown.Add(1) }})
	f.worker.get = f.Get
	f.Run(f.worker)
	return f
}

// monitoring returns a fixture in which Ann is monitored.
func monitoring(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	f.wish(nil)
	f.mailboxOf(annID, "the record", monitored)
	return f
}

// own writes the lease of a partition into the table.
func (f *fixture) own(p int, lease store.Lease) { f.put(owners, store.LeaseField(p), lease.String()) }

// empty empties Redis, but for the lease of Ann's partition.
func (f *fixture) empty() {
	f.t.Helper()
	f.raw.FlushAll(f.t.Context())
	f.own(annPartition, ownertest.Lease)
}

// acquire loses a partition and acquires it again under a new lease, as after another owner.
func (f *fixture) acquire(p int) {
	f.t.Helper()
	f.Drop(p)
	f.tenure++
	lease := store.Lease{Life: ownertest.Lease.Life, Tenure: f.tenure}
	f.own(p, lease)
	f.Acquire(f.t.Context(), p, lease)()
}

// restore restores a partition as after a rollback.
func (f *fixture) restore(p int) { f.Restore(f.t.Context(), p, ownertest.Lease) }

// update changes Ann's record.
func (f *fixture) update(change func(d *mailbox.Draft)) *ooo.Mailbox {
	f.t.Helper()
	m, err := f.Update(annID, func(d *mailbox.Draft) error { change(d); return nil })
	if err != nil {
		f.t.Error(err)
	}
	return m
}

// hintWish leaves a hint that Ann's wish has changed, and waits until it is read.
func (f *fixture) hintWish() {
	f.t.Helper()
	read := f.store.wishes.Load()
	f.Hint(ooo.Hint{ID: annID, Kind: ooo.HintWish, Subject: folded})
	await.True(f.t, "the wish is read", func() bool { return f.store.wishes.Load() > read })
}

// put sets a field of a hash in Redis.
func (f *fixture) put(key, field string, value any) {
	f.t.Helper()
	must.NoError(f.t, f.raw.HSet(f.t.Context(), key, field, value).Err())
}

// field returns a field of a hash in Redis, empty if it does not exist.
func (f *fixture) field(key, field string) string {
	f.t.Helper()
	value, err := f.raw.HGet(f.t.Context(), key, field).Result()
	if err != nil && err != redis.Nil {
		f.t.Fatal(err)
	}
	return value
}

// background starts do, which may have to wait for the caller, and gives it some time to
// end. wait returns when it has ended.
func background(do func()) (wait func()) {
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

// again starts to monitor Ann again.
func again(n *ooo.Wish) { n.On, n.StartID = true, "second" }

// startedAgain reports whether Ann's second start was carried out.
func startedAgain(m *ooo.Mailbox) bool { return monitored(m) && m.Addresses[0].StartID == "second" }

// removed waits until Ann has no record.
func (f *fixture) removed() {
	f.t.Helper()
	await.True(f.t, "the record is removed", func() bool { _, ok := f.Get(annID); return !ok })
}

// stored returns the wish for Ann in Redis.
func (f *fixture) stored() ooo.Wish {
	f.t.Helper()
	wish, err := f.store.Wish(f.t.Context(), ann)
	must.NoError(f.t, err)
	return wish
}

// wish changes the wish for Ann; the first wish starts to monitor her.
func (f *fixture) wish(change func(*ooo.Wish)) {
	f.t.Helper()
	f.store.ChangeWish(f.t, ann, func(n *ooo.Wish) {
		if n.StartID == "" {
			n.On, n.Person, n.StartID = true, ooo.Person{ID: annID, DisplayName: "Ann"}, "first"
		}
		if change != nil {
			change(n)
		}
	})
}

func off(n *ooo.Wish) { n.On = false }

func respell(n *ooo.Wish) { n.Address = respelled }

// mailboxOf waits for a record that is as wanted, and returns it.
func (f *fixture) mailboxOf(id ooo.RecordID, what string, wanted func(m *ooo.Mailbox) bool) *ooo.Mailbox {
	f.t.Helper()
	var found *ooo.Mailbox
	await.True(f.t, what, func() bool {
		m, ok := f.Get(id)
		found = m
		return ok && wanted(m)
	})
	return found
}

func monitored(m *ooo.Mailbox) bool { return len(m.Addresses) == 1 }

// away changes the state to out of office, as a read does.
func away(d *mailbox.Draft) {
	d.Condition, d.State = ooo.Watching, &ooo.State{Away: true, Message: "Gone"}
	d.QueueState(ooo.SourcePoll, ooo.Hint{}, time.Now())
}

// move moves the address to Bob's mailbox.
func move(d *mailbox.Draft) { d.MoveAddresses(ooo.Person{ID: bobID}) }

func (f *fixture) noHints() {
	f.t.Helper()
	await.True(f.t, "all hints are carried out", func() bool {
		hints, err := f.store.Hints(f.t.Context())
		return err == nil && len(hints) == 0
	})
}
