package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

// world is the store under test, and its client, for what the store does not do:
// damage, roll back, look.
type world struct {
	*store.Store
	t   *testing.T
	url string
	raw redis.UniversalClient
}

// suites run on every kind of Redis.
var suites = []map[string]func(*testing.T, *world){ownersSuite, saveSuite, hintSuite, wishSuite, messageSuite, listSuite, readSuite}

func TestEmbedded(t *testing.T) {
	embedded, err := store.StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(embedded.Close)
	conform(t, embedded.URL())
	if got, err := open(t, embedded.URL(), "").Inspect(t.Context()); len(got.Findings) != 0 || err != nil {
		t.Errorf("Inspect = %v, %v, want nothing", got, err)
	}
}

func TestSingle(t *testing.T)  { conform(t, redistest.Start(t).URL()) }
func TestCluster(t *testing.T) { conform(t, redistest.StartCluster(t).URL()) }

func TestSentinel(t *testing.T) {
	sentinel := redistest.StartSentinel(t)
	conform(t, sentinel.URL())
	t.Run("goes on after a failover", func(t *testing.T) {
		w := open(t, sentinel.URL(), "")
		heard := w.listen()
		heard.connected()
		sentinel.Failover()
		heard.connected()
		w.eventually("a round is answered", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 800*time.Millisecond)
			defer cancel()
			_, err := w.Round(ctx, "me", store.Beat{Number: 1})
			return err == nil
		})
		m := mailbox("failover")
		lease := w.own(m)
		w.eventually("the save is answered", func() bool {
			return w.Save(t.Context(), store.Save{Lease: lease, Record: m}) == nil
		})
		if got := w.stored(m.ID); got == nil || got.Version != 1 {
			t.Errorf("stored %+v, want version 1", got)
		}
	})
}

// conform runs every part of the suite on an emptied Redis.
func conform(t *testing.T, url string) {
	for _, suite := range suites {
		for name, part := range suite {
			t.Run(name, func(t *testing.T) {
				w := open(t, url, t.Name()) // what a Cluster still passes on of another part is not heard
				w.flush()
				w.must(w.Ready(t.Context()))
				part(t, w)
			})
		}
	}
}

func open(t *testing.T, url, fingerprint string) *world {
	t.Helper()
	s, err := store.Open(store.Config{URL: url, Fingerprint: fingerprint})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &world{Store: s, t: t, url: url, raw: store.Client(s)}
}

// flush empties every master.
func (w *world) flush() {
	w.t.Helper()
	if c, ok := w.raw.(*redis.ClusterClient); ok {
		w.must(c.ForEachMaster(w.t.Context(), func(ctx context.Context, c *redis.Client) error { return c.FlushAll(ctx).Err() }))
		return
	}
	w.must(w.raw.FlushAll(w.t.Context()).Err())
}

// must stops the test on err.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// is checks an error.
func (w *world) is(err, want error) {
	w.t.Helper()
	if !errors.Is(err, want) {
		w.t.Fatalf("error = %v, want %v", err, want)
	}
}

func (w *world) eventually(what string, done func() bool) {
	w.t.Helper()
	await.True(w.t, what, done)
}

// swap swaps a field of the table and reports whether that worked.
func (w *world) swap(swaps ...store.Swap) bool {
	w.t.Helper()
	ok, err := w.SwapOwners(w.t.Context(), swaps...)
	w.must(err)
	return ok
}

func (w *world) table() store.Owners {
	w.t.Helper()
	o, err := w.Round(w.t.Context(), "observer", store.Beat{Number: 1})
	w.must(err)
	return o
}

// own takes the partition of a mailbox; it may have it already.
func (w *world) own(m *ooo.Mailbox) store.Lease {
	w.t.Helper()
	lease := store.Lease{Life: "me", Tenure: 1}
	if p := m.ID.Partition(); !w.swap(store.Swap{Field: store.LeaseField(p), New: lease.String()}) {
		w.t.Fatal("the partition is another's")
	}
	return lease
}

// mailbox is a new record with one address, and a tab in its name.
func mailbox(name string) *ooo.Mailbox {
	id := ooo.ObjectID("id-" + name)
	return &ooo.Mailbox{
		ID: ooo.RecordID(id), Version: 1, Condition: ooo.Watching,
		Person:    ooo.Person{ID: id, DisplayName: "Miss\t" + name},
		State:     &ooo.State{Away: true, Message: "Back on Monday: really"},
		Addresses: []ooo.Address{{Spelling: name + "@Contoso.example", Nonce: "n1", Delivery: ooo.Delivery{State: ooo.DeliveryNone}}},
	}
}

// sibling is another record's id in the same partition.
func sibling(m *ooo.Mailbox, name string) ooo.RecordID {
	for i := 0; ; i++ {
		if id := ooo.RecordID(fmt.Sprint(name, i)); id.Partition() == m.ID.Partition() {
			return id
		}
	}
}

// next is a record's next version.
func next(m *ooo.Mailbox) *ooo.Mailbox {
	m = m.Clone()
	m.Version++
	m.Reason += "+"
	return m
}

func (w *world) load(p int) store.Loaded {
	w.t.Helper()
	loaded, err := w.Load(w.t.Context(), p)
	w.must(err)
	return loaded
}

// stored is a record as Redis has it; nil if it has none.
func (w *world) stored(id ooo.RecordID) *ooo.Mailbox {
	w.t.Helper()
	for _, m := range w.load(id.Partition()).Records {
		if m.ID == id {
			return m
		}
	}
	return nil
}

// hints are the hints in Redis, by kind.
func (w *world) hints() map[ooo.HintKind]ooo.Hint {
	w.t.Helper()
	all, err := w.Hints(w.t.Context())
	w.must(err)
	hints := map[ooo.HintKind]ooo.Hint{}
	for _, h := range all {
		hints[h.Kind] = h
	}
	return hints
}

// wish is the wish for an address as Redis has it.
func (w *world) wish(address string) ooo.Wish {
	w.t.Helper()
	wish, err := w.Wish(w.t.Context(), address)
	w.must(err)
	return wish
}

// wants replaces a wish, and leaves a hint.
func (w *world) wants(old, next ooo.Wish, h ooo.Hint) {
	w.t.Helper()
	ok, err := w.SwapWish(w.t.Context(), old, next, h)
	if w.must(err); !ok {
		w.t.Fatalf("the wish for %s was not swapped", next.Address)
	}
}

// stop ends the monitoring of an address whose wish says on.
func (w *world) stop(old ooo.Wish) {
	w.t.Helper()
	next := old
	next.On, next.Nonce = false, "off"
	w.wants(old, next, wishHint(next))
}

// wishHint is the hint that an owner needs of a wish.
func wishHint(wish ooo.Wish) ooo.Hint {
	return ooo.Hint{ID: wish.Record(), Kind: ooo.HintWish, Nonce: wish.Nonce}
}

// on is a wish for name@contoso.example.
func on(name, nonce string) ooo.Wish {
	return ooo.Wish{Address: name + "@Contoso.example", On: true, Start: "s", Nonce: nonce, At: time.UnixMilli(1000).UTC()}
}

func hint(m *ooo.Mailbox, kind ooo.HintKind, nonce string) ooo.Hint {
	return ooo.Hint{ID: m.ID, Kind: kind, Nonce: nonce, At: time.UnixMilli(1000).UTC()}
}

// ear has what a listener heard.
type ear struct {
	w        *world
	messages chan store.Message
}

// listen starts a listener that ends with the test.
func (w *world) listen() ear {
	e := ear{w, make(chan store.Message, 100)}
	await.Run(w.t, func(ctx context.Context) error {
		return w.Listen(ctx, func(m store.Message) { e.messages <- m })
	})
	return e
}

func (e ear) next() store.Message {
	e.w.t.Helper()
	select {
	case m := <-e.messages:
		return m
	case <-time.After(await.Timeout):
		e.w.t.Fatal("no message")
		return store.Message{}
	}
}

// connected waits for the message that says to look at everything.
func (e ear) connected() {
	e.w.t.Helper()
	for m := e.next(); len(m.Hints) > 0 || m.TableChanged; m = e.next() {
	}
}
