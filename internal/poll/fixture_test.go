package poll_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/ownertest"
	"outlook-monitor/internal/poll"
	"outlook-monitor/internal/store"
)

const (
	annID         = "id-ann"
	annAddress    = "ann@contoso.example"
	unresolvedAnn = ooo.RecordID("@ann@contoso.example")
)

var (
	off = ooo.Setting{Status: ooo.Disabled, ExternalReply: "<p>old</p>"}
	on  = ooo.Setting{Status: ooo.AlwaysEnabled, ExternalReply: "<p>Away</p>"}
	// onForAll means the same as on.
	onForAll = ooo.Setting{Status: on.Status, ExternalReply: on.ExternalReply, ExternalAudience: "all"}

	notification = ooo.Hint{Kind: ooo.HintRead, Source: ooo.SourceNotification, NotificationID: "n1"}
)

// callFault is what one mailbox does to each call that reads it, with all its mailboxes.
type callFault struct {
	delay time.Duration
	err   error
}

// guard is a mutex with a method for short accesses.
type guard struct{ mu sync.Mutex }

func (g *guard) locked(do func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	do()
}

// faultyGraph is an in-memory Graph.
type faultyGraph struct {
	guard
	settings   map[ooo.ObjectID]ooo.Setting // guarded, like the fields below
	errs       map[ooo.ObjectID]error       // of reads
	callFaults map[ooo.ObjectID]callFault
	down       error // of every call
	latency    time.Duration
	round      time.Duration // above latency, for each four mailboxes in a call
	slowEach   int           // every so many calls take slowTime
	slowTime   time.Duration // above latency
	noise      int           // makes answers differ that mean the same
	people     map[string]ooo.Person
	lookupErrs map[ooo.ObjectID]error
	lookupErr  error // of every check

	reads     map[ooo.ObjectID][]time.Time // when they began
	answers   map[ooo.ObjectID][]time.Time
	batches   []int                // mailboxes in each call
	shared    map[ooo.ObjectID]int // calls for this mailbox and others
	decoded   int
	finds     []time.Time
	checks    int // calls of FindByID
	checkTime time.Duration
	inFlight  map[ooo.ObjectID]int
	overlaps  int // reads of a mailbox that was already being read
}

func newGraph() *faultyGraph {
	return &faultyGraph{
		settings: map[ooo.ObjectID]ooo.Setting{}, errs: map[ooo.ObjectID]error{}, callFaults: map[ooo.ObjectID]callFault{},
		people: map[string]ooo.Person{}, lookupErrs: map[ooo.ObjectID]error{}, latency: 50 * time.Millisecond, checkTime: 100 * time.Millisecond,
		reads: map[ooo.ObjectID][]time.Time{}, answers: map[ooo.ObjectID][]time.Time{}, inFlight: map[ooo.ObjectID]int{}, shared: map[ooo.ObjectID]int{},
	}
}

// takeReads returns when a mailbox was read since the last call.
func (g *faultyGraph) takeReads(id ooo.ObjectID) (at []time.Time) {
	g.locked(func() { at, g.reads[id] = g.reads[id], nil })
	return at
}

// takeAllReads returns when the mailboxes that were read since the last call were read.
func (g *faultyGraph) takeAllReads() (reads map[ooo.ObjectID][]time.Time) {
	g.locked(func() { reads, g.reads = g.reads, map[ooo.ObjectID][]time.Time{} })
	return reads
}

func (g *faultyGraph) Read(ctx context.Context, ids []ooo.ObjectID, known []ooo.Digest) []ooo.ReadResult {
	g.mu.Lock()
	wait, callErr := g.latency+g.round*time.Duration((len(ids)+3)/4), g.down
	g.batches = append(g.batches, len(ids))
	if g.slowEach > 0 && len(g.batches)%g.slowEach == 0 {
		wait = g.slowTime
	}
	for _, id := range ids {
		g.reads[id] = append(g.reads[id], time.Now())
		if len(ids) > 1 {
			g.shared[id]++
		}
		if g.inFlight[id]++; g.inFlight[id] > 1 {
			g.overlaps++
		}
		wait, callErr = max(wait, g.callFaults[id].delay), cmp.Or(callErr, g.callFaults[id].err)
	}
	g.mu.Unlock()
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		callErr = fmt.Errorf("%w: %w", ooo.ErrUnavailable, ctx.Err())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	results := make([]ooo.ReadResult, len(ids))
	for i, id := range ids {
		g.inFlight[id]--
		r := ooo.ReadResult{ID: id, Err: cmp.Or(callErr, g.errs[id])}
		if r.Err == nil {
			g.answers[id] = append(g.answers[id], time.Now())
			r.Digest = ooo.DigestOf(fmt.Append(nil, g.settings[id], g.noise))
			if r.Unchanged = r.Digest == known[i]; !r.Unchanged {
				r.Setting = g.settings[id]
				g.decoded++
			}
		}
		results[i] = r
	}
	return results
}

func (g *faultyGraph) Find(_ context.Context, address string) (ooo.Person, error) {
	time.Sleep(100 * time.Millisecond)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.finds = append(g.finds, time.Now())
	if person, ok := g.people[address]; ok && g.down == nil {
		return person, nil
	}
	return ooo.Person{}, cmp.Or(g.down, error(ooo.ErrNotInDirectory))
}

func (g *faultyGraph) FindByID(_ context.Context, id ooo.ObjectID) (ooo.Person, error) {
	time.Sleep(g.checkTime)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.checks++
	return ooo.Person{ID: id}, cmp.Or(g.lookupErr, g.lookupErrs[id])
}

func idOf(name string) ooo.ObjectID { return ooo.ObjectID("id-" + name) }

// record returns a stored mailbox that was read before.
func record(name string, setting ooo.Setting) *ooo.Mailbox {
	id, policy := idOf(name), ooo.Policy{}
	applied := policy.Apply(setting)
	state := policy.Decide(nil, applied, time.Now()).State
	return &ooo.Mailbox{
		ID: ooo.RecordID(id), Version: 1, Person: ooo.Person{ID: id}, Condition: ooo.Watching, Policy: policy.Tag(),
		Setting: &applied, State: &state, ChangedAt: time.Now().Add(-time.Hour).UTC(),
		Addresses: []ooo.Address{{Spelling: name + "@contoso.example", StartID: "s", Nonce: "n", Sequence: 1}},
	}
}

func away(name string) *ooo.Mailbox { return record(name, on) }

// pending returns a stored mailbox that was never read.
func pending(name string) *ooo.Mailbox {
	m := record(name, off)
	m.Condition, m.Setting, m.State, m.Policy, m.Addresses[0].Sequence = ooo.Pending, nil, nil, "", 0
	return m
}

// unresolved returns the stored record of an address without a mailbox.
func unresolved(name string) *ooo.Mailbox {
	m := pending(name)
	m.ID, m.Person = ooo.UnresolvedID(name+"@contoso.example"), ooo.Person{}
	return m
}

func onlyAnn(m func(string) *ooo.Mailbox) func() []*ooo.Mailbox {
	return func() []*ooo.Mailbox { return []*ooo.Mailbox{m("ann")} }
}

func annAndBob() []*ooo.Mailbox { return []*ooo.Mailbox{away("ann"), away("bob")} }

func userName(i int) string { return fmt.Sprintf("user%02d", i) }

// users returns n mailboxes that are not away.
func users(n int) func() []*ooo.Mailbox {
	return func() (all []*ooo.Mailbox) {
		for i := range n {
			all = append(all, record(userName(i), off))
		}
		return all
	}
}

// fixture is a replica that owns all partitions.
type fixture struct {
	*testing.T
	graph    *faultyGraph
	store    *ownertest.Store
	registry *ownertest.Owner

	lagging atomic.Bool // calls of Refresh come a second late
	guard
	saved      []poll.Change // guarded, like the fields below
	late       []time.Duration
	deliveries int // begun
	waits      map[string]time.Time
}

// run runs a test in a bubble, with a replica that loads these records. Graph has their
// settings.
func run(t *testing.T, configure func(*poll.Config, *faultyGraph), records func() []*ooo.Mailbox, test func(f *fixture)) {
	t.Helper()
	ownertest.InBubble(t, func(t *testing.T, s *ownertest.Store) {
		f := &fixture{T: t, graph: newGraph(), store: s, waits: map[string]time.Time{}}
		for _, m := range records() {
			f.store.Put(t, m)
			for _, a := range m.Addresses {
				f.store.ChangeWish(t, a.Spelling, func(wish *ooo.Wish) {
					wish.On, wish.Person, wish.StartID, wish.Nonce = true, m.Person, a.StartID, a.Nonce
				})
			}
			f.graph.settings[m.ID.ObjectID()] = off
			if m.State != nil && m.State.Away {
				f.graph.settings[m.ID.ObjectID()] = on
			}
		}
		f.run(configure, s, test)
	})
}

// rarely makes the regular reads rare, so that a test has only those of its hints.
func rarely(cfg *poll.Config, _ *faultyGraph) { cfg.Interval = 12 * time.Hour }

// slowly makes reads take a second.
func slowly(_ *poll.Config, g *faultyGraph) { g.latency = time.Second }

// runEach is run with a subtest for each of tests.
func runEach[T any](t *testing.T, tests map[string]T, configure func(*poll.Config, *faultyGraph),
	records func() []*ooo.Mailbox, test func(f *fixture, tt T),
) {
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { run(t, configure, records, func(f *fixture) { test(f, tt) }) })
	}
}

func (f *fixture) run(configure func(*poll.Config, *faultyGraph), s mailbox.Store, test func(f *fixture)) {
	f.Helper()
	f.registry = ownertest.NewOwner(f.T, mailbox.Config{Store: s})
	cfg := poll.Config{
		Registry: f.registry.Registry, Graph: f.graph, Interval: 2 * time.Second, Tracer: noop.Tracer{},
		Log:    slog.New(slog.NewTextHandler(f.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		InTime: f.registry.InTime, Share: func() float64 { return 1 },
		OnRead: func(poll.Outcome, time.Duration) {}, OnSweep: func(int, int) {},
		Wait: func(name string) (left time.Duration) {
			f.locked(func() { left = time.Until(f.waits[name]) })
			return left
		},
		SetWait: func(_ context.Context, name string, wait time.Duration) {
			f.locked(func() { f.waits[name] = time.Now().Add(wait) })
		},
		BeginDelivery:      func(*mailbox.Draft) { f.locked(func() { f.deliveries++ }) },
		OnChange:           func(c poll.Change) { f.locked(func() { f.saved = append(f.saved, c) }) },
		OnLateNotification: func(by time.Duration) { f.locked(func() { f.late = append(f.late, by) }) },
	}
	if configure != nil {
		configure(&cfg, f.graph)
	}
	poller := poll.New(cfg)
	stopPoller := await.Run(f.T, poller.Run)
	stopRegistry := f.registry.Run(worker{poller, &f.lagging})
	test(f)
	stopPoller()
	stopRegistry()
	f.graph.locked(func() {
		if f.graph.overlaps > 0 {
			f.Errorf("%d reads of a mailbox that was already being read, want none", f.graph.overlaps)
		}
	})
}

// worker is a poller whose calls of Refresh may come late.
type worker struct {
	*poll.Poller
	lagging *atomic.Bool
}

func (w worker) Refresh(id ooo.RecordID) {
	if w.lagging.Load() {
		time.AfterFunc(time.Second, func() { w.Poller.Refresh(id) })
		return
	}
	w.Poller.Refresh(id)
}

func (f *fixture) changes() (all []poll.Change) {
	f.locked(func() { all = slices.Clone(f.saved) })
	return all
}

func (f *fixture) get(name string) *ooo.Mailbox {
	f.Helper()
	m, ok := f.registry.Get(ooo.RecordID(idOf(name)))
	if !ok {
		f.Fatalf("no record of %s", name)
	}
	return m
}

// putNewer stores a later version of a record.
func (f *fixture) putNewer(newer *ooo.Mailbox) {
	f.Helper()
	newer.Version += 5
	err := f.store.Store.Save(f.Context(), store.Save{Lease: ownertest.Lease, Record: newer, Overwrite: true})
	must.NoError(f, err)
}

// hint leaves a hint for a mailbox.
func (f *fixture) hint(name string, h ooo.Hint) {
	h.ID = ooo.RecordID(idOf(name))
	f.registry.Hint(h)
}

// readsIn returns when Ann's mailbox was read in the next d. Earlier reads are dropped, those at this
// instant too.
func (f *fixture) readsIn(d time.Duration) []time.Time {
	f.graph.takeReads(annID)
	time.Sleep(d)
	return f.graph.takeReads(annID)
}

// hints returns how many hints for the poller Redis has.
func (f *fixture) hints() int {
	f.Helper()
	all, err := f.store.Hints(f.Context())
	must.NoError(f, err)
	return len(slices.DeleteFunc(all, func(h ooo.Hint) bool { return h.Kind == ooo.HintWish }))
}

// history counts the events of an address by kind.
func (f *fixture) history(name string) map[ooo.EventKind]int {
	f.Helper()
	events, err := f.store.History(f.Context(), name+"@contoso.example", 100)
	must.NoError(f, err)
	counts := map[ooo.EventKind]int{}
	for _, e := range events {
		counts[e.Kind]++
	}
	return counts
}

// longestGap returns the longest time between two reads.
func longestGap(at []time.Time) (gap time.Duration) {
	for i := 1; i < len(at); i++ {
		gap = max(gap, at[i].Sub(at[i-1]))
	}
	return gap
}
