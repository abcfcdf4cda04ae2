package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

// fixture is the store under test, with its client for direct access to Redis.
type fixture struct {
	*store.Store
	t        *testing.T
	url      string
	raw      redis.UniversalClient
	log      *strings.Builder // not to be read while Listen runs
	reported map[string]int   // damaged entries, by kind
}

// suites run on every kind of Redis.
var suites = []map[string]func(*testing.T, *fixture){ownersSuite, saveSuite, hintSuite, wishSuite, messageSuite, listSuite, readSuite}

func TestEmbedded(t *testing.T) {
	url, stop, err := store.StartEmbedded()
	must.NoError(t, err)
	t.Cleanup(stop)
	runSuites(t, url)
	if got, err := open(t, url).Inspect(t.Context()); len(got.Findings) != 0 || err != nil {
		t.Errorf("Inspect = %v, %v, want no findings", got, err)
	}
}

func TestSingle(t *testing.T)  { runSuites(t, redistest.Start(t).URL()) }
func TestCluster(t *testing.T) { runSuites(t, redistest.StartCluster(t).URL()) }

func TestSentinel(t *testing.T) {
	t.Parallel()
	sentinel := redistest.StartSentinel(t, "maxmemory-policy allkeys-lru", "requirepass secret")
	url := sentinel.URL() + "&password=secret"
	t.Run("is inspected", func(t *testing.T) {
		got, err := open(t, url).Inspect(t.Context())
		if found := problems(got); err != nil || !slices.Equal(found, []string{evictsUsers}) || got.Topology != "master found by Sentinel" {
			t.Errorf("Inspect = %+v, %v, want the finding of the master", got, err)
		}
		_, err = open(t, strings.Replace(url, "master_name=", "master_name=other", 1)).Inspect(t.Context())
		if err == nil || !strings.Contains(err.Error(), "all sentinels") {
			t.Errorf("Inspect of an unknown master = %v, want an error about the Sentinels", err)
		}
		if _, err := open(t, sentinel.Nodes[1].URL()).Inspect(t.Context()); !errors.Is(err, store.ErrReplica) {
			t.Errorf("Inspect of the replica = %v, want ErrReplica", err)
		}
		for _, wrong := range []string{sentinel.URL(), strings.Replace(sentinel.URL(), "redis://", "redis://:secret@", 1)} {
			if err := open(t, wrong).Ping(t.Context()); err == nil {
				t.Errorf("Ping of %s = nil, want an error without the password of the master", wrong)
			}
		}
	})
	runSuites(t, url)
	t.Run("continues after a failover", func(t *testing.T) {
		f := open(t, url)
		messages := f.listen()
		sentinel.Failover()
		messages.connected()
		await.True(t, "a round is answered", func() bool {
			_, err := f.Round(within(t, 800*time.Millisecond), "me", store.Beat{Number: 1})
			return err == nil
		})
		m := newMailbox("failover")
		lease := f.own(m)
		await.True(t, "the save is answered", func() bool {
			return f.Save(t.Context(), store.Save{Lease: lease, Record: m}) == nil
		})
		if got := f.stored(m.ID); got == nil || got.Version != 1 {
			t.Errorf("stored %+v, want version 1", got)
		}
	})
}

// runSuites runs every test of the suites on an empty Redis.
func runSuites(t *testing.T, url string) {
	for _, suite := range suites {
		for name, test := range suite {
			t.Run(name, func(t *testing.T) {
				// With a channel of its own: a Cluster may still send messages of another test.
				f := openWith(t, store.Config{URL: url, Fingerprint: t.Name()})
				f.flush()
				f.must(f.Ready(t.Context()))
				test(t, f)
			})
		}
	}
}

func open(t *testing.T, url string) *fixture {
	t.Helper()
	return openWith(t, store.Config{URL: url})
}

func openWith(t *testing.T, cfg store.Config) *fixture {
	t.Helper()
	f := &fixture{t: t, url: cfg.URL, log: &strings.Builder{}, reported: map[string]int{}}
	cfg.Log = slog.New(slog.NewTextHandler(f.log, nil))
	cfg.OnDamaged = func(kind string) { f.reported[kind]++ }
	s, err := store.Open(cfg)
	f.must(err)
	t.Cleanup(s.Close)
	f.Store, f.raw = s, store.Clients(s)[0]
	return f
}

// damage overwrites a field of a hash.
func (f *fixture) damage(key, field, value string) {
	f.t.Helper()
	f.must(f.raw.HSet(f.t.Context(), "om:{om}:"+key, field, value).Err())
}

// flush empties every master.
func (f *fixture) flush() {
	f.t.Helper()
	if c, ok := f.raw.(*redis.ClusterClient); ok {
		f.must(c.ForEachMaster(f.t.Context(), func(ctx context.Context, c *redis.Client) error { return c.FlushAll(ctx).Err() }))
		return
	}
	f.must(f.raw.FlushAll(f.t.Context()).Err())
}

// must ends the test on an error.
func (f *fixture) must(err error) {
	f.t.Helper()
	must.NoError(f.t, err)
}

// wantErr ends the test unless err is want.
func (f *fixture) wantErr(err, want error) {
	f.t.Helper()
	if !errors.Is(err, want) {
		f.t.Fatalf("error = %v, want %v", err, want)
	}
}

// swap applies swaps to the table and reports whether it did.
func (f *fixture) swap(swaps ...store.Swap) bool {
	f.t.Helper()
	ok, err := f.SwapTable(f.t.Context(), swaps...)
	f.must(err)
	return ok
}

func (f *fixture) table() store.Table {
	f.t.Helper()
	o, err := f.Round(f.t.Context(), "observer", store.Beat{Number: 1})
	f.must(err)
	return o
}

// own acquires the partition of a mailbox, unless it already has it.
func (f *fixture) own(m *ooo.Mailbox) store.Lease {
	f.t.Helper()
	lease := store.Lease{Life: "me", Tenure: 1}
	if p := m.ID.Partition(); !f.swap(store.Swap{Field: store.LeaseField(p), New: lease.String()}) {
		f.t.Fatalf("partition %d has another owner", p)
	}
	return lease
}

// newMailbox returns a new record with one address, and a tab in its name.
func newMailbox(name string) *ooo.Mailbox {
	id := ooo.ObjectID("id-" + name)
	return &ooo.Mailbox{
		ID: ooo.RecordID(id), Version: 1, Condition: ooo.Watching,
		Person:    ooo.Person{ID: id, DisplayName: "Miss\t" + name},
		State:     &ooo.State{Away: true, Message: "Back on Monday: really"},
		Addresses: []ooo.Address{{Spelling: name + "@Contoso.example", Nonce: "n1", Delivery: ooo.Delivery{State: ooo.DeliveryNone}}},
	}
}

// sibling returns the id of another record in the same partition.
func sibling(m *ooo.Mailbox, name string) ooo.RecordID {
	for i := 0; ; i++ {
		if id := ooo.RecordID(fmt.Sprint(name, i)); id.Partition() == m.ID.Partition() {
			return id
		}
	}
}

// nextVersion returns a changed copy of a record with the next version.
func nextVersion(m *ooo.Mailbox) *ooo.Mailbox {
	m = m.Clone()
	m.Version++
	m.Reason += "+"
	return m
}

func (f *fixture) load(p int) store.Loaded {
	f.t.Helper()
	loaded, err := f.Load(f.t.Context(), p)
	f.must(err)
	return loaded
}

// stored returns a record as stored in Redis; nil if there is none.
func (f *fixture) stored(id ooo.RecordID) *ooo.Mailbox {
	f.t.Helper()
	m, err := f.LoadRecord(f.t.Context(), id)
	f.must(err)
	return m
}

// hints returns the hints in Redis, by kind.
func (f *fixture) hints() map[ooo.HintKind]ooo.Hint {
	f.t.Helper()
	all, err := f.Hints(f.t.Context())
	f.must(err)
	hints := map[ooo.HintKind]ooo.Hint{}
	for _, h := range all {
		hints[h.Kind] = h
	}
	return hints
}

// wish returns the wish for an address in Redis.
func (f *fixture) wish(address string) ooo.Wish {
	f.t.Helper()
	wish, err := f.Wish(f.t.Context(), address)
	f.must(err)
	return wish
}

// swapWish replaces a wish and leaves a hint.
func (f *fixture) swapWish(old, next ooo.Wish) {
	f.t.Helper()
	ok, err := f.SwapWish(f.t.Context(), old, next)
	if f.must(err); !ok {
		f.t.Fatalf("the wish for %s was not swapped", next.Address)
	}
}

// stop replaces a wish by one that is off.
func (f *fixture) stop(old ooo.Wish) {
	f.t.Helper()
	next := old
	next.On, next.Nonce = false, "off"
	f.swapWish(old, next)
}

// hintOf returns the hint that is left with a wish.
func hintOf(wish ooo.Wish) ooo.Hint {
	h := wish.Hint(ooo.HintWish)
	h.Nonce, h.At = wish.Nonce, wish.At
	return h
}

// newWish returns a wish for name@contoso.example that is on.
func newWish(name, nonce string) ooo.Wish {
	return ooo.Wish{Address: name + "@Contoso.example", On: true, StartID: "s", Nonce: nonce, At: time.UnixMilli(1000).UTC()}
}

func newHint(m *ooo.Mailbox, kind ooo.HintKind, nonce string) ooo.Hint {
	return ooo.Hint{ID: m.ID, Kind: kind, Nonce: nonce, At: time.UnixMilli(1000).UTC()}
}

// listener holds the messages that Listen received.
type listener struct {
	f        *fixture
	messages chan store.Message
}

// listen runs Listen until the test ends, and returns once it is connected.
func (f *fixture) listen() listener {
	f.t.Helper()
	l := listener{f, make(chan store.Message, 300)}
	await.Run(f.t, func(ctx context.Context) error {
		return f.Listen(ctx, func(m store.Message) { l.messages <- m })
	})
	l.connected()
	return l
}

func (l listener) next() store.Message {
	l.f.t.Helper()
	select {
	case m := <-l.messages:
		return m
	case <-time.After(await.Timeout):
		l.f.t.Fatal("no message")
		return store.Message{}
	}
}

// connected waits for the zero message of a connect.
func (l listener) connected() {
	l.f.t.Helper()
	for m := l.next(); len(m.Hints) > 0 || m.TableChanged; m = l.next() {
	}
}
