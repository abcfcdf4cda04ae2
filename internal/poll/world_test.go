package poll_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/ownertest"
	"outlook-monitor/internal/poll"
)

var (
	off = ooo.Setting{Status: ooo.Disabled, ExternalReply: "<p>old</p>"}
	on  = ooo.Setting{Status: ooo.AlwaysEnabled, ExternalReply: "<p>Away</p>"}
)

// faultyGraph is Graph in memory.
type faultyGraph struct {
	mu       sync.Mutex
	settings map[ooo.ObjectID]ooo.Setting // guarded by mu, as all below
	errs     map[ooo.ObjectID]error
	slow     map[ooo.ObjectID]time.Duration // holds up the whole call
	hangs    map[ooo.ObjectID]bool          // the whole call gets no answer
	cuts     map[ooo.ObjectID]bool          // the whole call breaks off
	down     error                          // of every call
	latency  time.Duration
	noise    int // what makes answers differ that mean the same
	people   map[string]ooo.Person
	gone     map[ooo.ObjectID]error

	reads   map[ooo.ObjectID][]time.Time // begun
	answers map[ooo.ObjectID][]time.Time
	batches []int
	decoded int
	finds   []time.Time
	lookups int
	flying  map[ooo.ObjectID]int
	twice   int // reads of a mailbox that was being read
}

func newGraph() *faultyGraph {
	return &faultyGraph{
		settings: map[ooo.ObjectID]ooo.Setting{}, errs: map[ooo.ObjectID]error{}, slow: map[ooo.ObjectID]time.Duration{},
		hangs: map[ooo.ObjectID]bool{}, cuts: map[ooo.ObjectID]bool{}, people: map[string]ooo.Person{}, gone: map[ooo.ObjectID]error{},
		reads: map[ooo.ObjectID][]time.Time{}, answers: map[ooo.ObjectID][]time.Time{}, flying: map[ooo.ObjectID]int{}, latency: 50 * time.Millisecond,
	}
}

func (g *faultyGraph) set(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

// readsOf returns when a mailbox was read, and forgets it.
func (g *faultyGraph) readsOf(id ooo.ObjectID) (at []time.Time) {
	g.set(func() { at, g.reads[id] = g.reads[id], nil })
	return at
}

func (g *faultyGraph) Read(ctx context.Context, ids []ooo.ObjectID, known []ooo.Digest) []ooo.ReadResult {
	g.mu.Lock()
	wait, failed := g.latency, g.down
	hangs := false
	g.batches = append(g.batches, len(ids))
	for _, id := range ids {
		g.reads[id] = append(g.reads[id], time.Now())
		if g.flying[id]++; g.flying[id] > 1 {
			g.twice++
		}
		wait = max(wait, g.slow[id])
		hangs = hangs || g.hangs[id]
		if g.cuts[id] {
			failed = fmt.Errorf("%w: cut off", ooo.ErrUnavailable)
		}
	}
	g.mu.Unlock()
	if hangs {
		wait = time.Hour
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		failed = fmt.Errorf("%w: %w", ooo.ErrUnavailable, ctx.Err())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	readings := make([]ooo.ReadResult, len(ids))
	for i, id := range ids {
		g.flying[id]--
		r := ooo.ReadResult{ID: id, Err: failed}
		if r.Err == nil {
			r.Err = g.errs[id]
		}
		if r.Err == nil {
			g.answers[id] = append(g.answers[id], time.Now())
			r.Digest = ooo.DigestOf(fmt.Append(nil, g.settings[id], g.noise))
			if r.Unchanged = r.Digest == known[i]; !r.Unchanged {
				r.Setting = g.settings[id]
				g.decoded++
			}
		}
		readings[i] = r
	}
	return readings
}

func (g *faultyGraph) Find(_ context.Context, address string) (ooo.Person, error) {
	time.Sleep(100 * time.Millisecond)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.finds = append(g.finds, time.Now())
	if g.down != nil {
		return ooo.Person{}, g.down
	}
	person, found := g.people[address]
	if !found {
		return ooo.Person{}, ooo.ErrNotInDirectory
	}
	return person, nil
}

func (g *faultyGraph) Lookup(_ context.Context, id ooo.ObjectID) (ooo.Person, error) {
	time.Sleep(100 * time.Millisecond)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lookups++
	return ooo.Person{ID: id}, g.gone[id]
}

// world is a replica that owns everything, in a bubble of its own time.
type world struct {
	*testing.T
	graph    *faultyGraph
	store    *ownertest.Store
	registry *ownertest.Owner
	poller   *poll.Poller

	mu      sync.Mutex
	changes []poll.Change // guarded by mu, as all below
	late    []time.Duration
	begun   int // deliveries
	waits   map[string]time.Time
}

func nameID(name string) ooo.ObjectID { return ooo.ObjectID("id-" + name) }

// record is a mailbox as it is stored once it was read.
func record(name string, setting ooo.Setting) *ooo.Mailbox {
	id := nameID(name)
	policy := ooo.Policy{}
	applied := policy.Apply(setting)
	state := policy.Decide(nil, applied, time.Now()).State
	return &ooo.Mailbox{
		ID: ooo.RecordID(id), Version: 1, Person: ooo.Person{ID: id}, Condition: ooo.Watching, Policy: policy.Tag(),
		Setting: &applied, State: &state,
		Addresses: []ooo.Address{{Spelling: name + "@contoso.example", Start: "s", Nonce: "n", Sequence: 1}},
	}
}

// pending is a mailbox that was never read.
func pending(name string) *ooo.Mailbox {
	m := record(name, off)
	m.Condition, m.Setting, m.State, m.Policy, m.Addresses[0].Sequence = ooo.Pending, nil, nil, "", 0
	return m
}

// unresolved is the record of an address that has no mailbox yet.
func unresolved(name string) *ooo.Mailbox {
	m := pending(name)
	m.ID, m.Person = ooo.UnresolvedID(name+"@contoso.example"), ooo.Person{}
	return m
}

// run tells a story of a replica that begins with these records. What Graph says of a
// mailbox that the story does not set is that its setting is off.
func run(t *testing.T, change func(cfg *poll.Config, g *faultyGraph), records func() []*ooo.Mailbox, story func(w *world)) {
	t.Helper()
	ownertest.InBubble(t, func(t *testing.T, s *ownertest.Store) {
		w := &world{T: t, graph: newGraph(), store: s, waits: map[string]time.Time{}}
		for _, m := range records() {
			w.seed(m)
		}
		w.start(change, s, story)
	})
}

// seed stores a record, with its wishes.
func (w *world) seed(m *ooo.Mailbox) {
	w.Helper()
	w.store.Put(w.T, m)
	for _, a := range m.Addresses {
		w.store.ChangeWish(w.T, a.Spelling, func(wish *ooo.Wish) {
			wish.On, wish.Person, wish.Start, wish.Nonce = true, m.Person, a.Start, a.Nonce
		})
	}
	if id := m.ID.ObjectID(); id != "" {
		w.graph.settings[id] = off
		if m.State != nil && m.State.Away {
			w.graph.settings[id] = on
		}
	}
}

// start runs the replica until the story ends.
func (w *world) start(change func(*poll.Config, *faultyGraph), s mailbox.Store, story func(w *world)) {
	w.Helper()
	w.registry = ownertest.NewOwner(w.T, mailbox.Config{Store: s})
	cfg := poll.Config{
		Registry: w.registry.Registry, Graph: w.graph, Interval: 2 * time.Second, Tracer: noop.Tracer{},
		Log:   slog.New(slog.NewTextHandler(w.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		Share: func() float64 { return 1 }, Replicas: func() int { return 1 },
		OnRead: func(poll.Outcome, time.Duration) {}, OnSweep: func(int, int) {},
		Wait: func(name string) time.Duration {
			w.mu.Lock()
			defer w.mu.Unlock()
			return time.Until(w.waits[name])
		},
		SetWait: func(_ context.Context, name string, wait time.Duration) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.waits[name] = time.Now().Add(wait)
			return nil
		},
		BeginDelivery: func(*mailbox.Draft) func(bool) {
			return func(bool) { w.mu.Lock(); defer w.mu.Unlock(); w.begun++ }
		},
		OnChange:           func(c poll.Change) { w.mu.Lock(); defer w.mu.Unlock(); w.changes = append(w.changes, c) },
		OnLateNotification: func(by time.Duration) { w.mu.Lock(); defer w.mu.Unlock(); w.late = append(w.late, by) },
	}
	if change != nil {
		change(&cfg, w.graph)
	}
	var err error
	if w.poller, err = poll.New(cfg); err != nil {
		w.Fatal(err)
	}
	polled := await.Run(w.T, w.poller.Run)
	stop := w.registry.Run(w.poller)
	story(w)
	polled()
	stop()
	w.graph.set(func() {
		if w.graph.twice > 0 {
			w.Errorf("%d reads of a mailbox that was being read, want none", w.graph.twice)
		}
	})
}

func (w *world) noticed() []poll.Change {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.changes)
}

func (w *world) get(name string) *ooo.Mailbox {
	w.Helper()
	m, ok := w.registry.Get(ooo.RecordID(nameID(name)))
	if !ok {
		w.Fatalf("%s is not there", name)
	}
	return m
}

// hint leaves a hint for a mailbox.
func (w *world) hint(name string, h ooo.Hint) {
	w.Helper()
	if h.ID == "" {
		h.ID = ooo.RecordID(nameID(name))
	}
	w.registry.Hint(h)
}

// hints counts those in Redis that the poller carries out.
func (w *world) hints() (n int) {
	w.Helper()
	all, err := w.store.Hints(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	for _, h := range all {
		if h.Kind != ooo.HintWish {
			n++
		}
	}
	return n
}

// history counts the events of an address by kind.
func (w *world) history(name string) map[ooo.EventKind]int {
	w.Helper()
	events, err := w.store.History(w.Context(), name+"@contoso.example", 100)
	if err != nil {
		w.Fatal(err)
	}
	counts := map[ooo.EventKind]int{}
	for _, e := range events {
		counts[e.Kind]++
	}
	return counts
}

// gaps returns the longest time between two reads.
func longest(at []time.Time) (gap time.Duration) {
	for i := 1; i < len(at); i++ {
		gap = max(gap, at[i].Sub(at[i-1]))
	}
	return gap
}
