// Package poll reads the mailboxes of this replica and detects who went out of office or
// came back.
//
// Each mailbox is read every interval, whatever the subscriptions do. It has a phase
// in the interval, by a hash of its id, so that batches fill and a hand-over keeps
// the cadence. What is due is read in batches of up to 20; no read waits for a batch to fill.
// An answer whose digest is known costs no decoding, no Redis and hardly any memory.
//
// Four lanes (see lane) begin reads: regular ones, mailboxes for which a hint came, which
// are read alone and at once, mailboxes that hang or are slow, so that they delay nobody
// else, and addresses that are looked up. From there on read.go follows one change: read,
// decide, save.
//
// The edges of scheduled windows are decided by the wall clock from the setting that
// was read last, so that a window opens and closes on the second even while Graph is
// away. What Graph answers instead of a setting moves only the next read of that
// mailbox: the state stays, the mailbox is shown as unknown with the reason. Only the
// first failure of a kind and waits over one interval are saved, or an outage would
// cost a save a read.
package poll

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// Graph is the directory and the mailboxes.
type Graph interface {
	// Read reads mailboxes; a result whose answer has the known digest is Unchanged.
	Read(ctx context.Context, ids []ooo.ObjectID, known []ooo.Digest) []ooo.ReadResult
	Find(ctx context.Context, address string) (ooo.Person, error)
	Lookup(ctx context.Context, id ooo.ObjectID) (ooo.Person, error)
}

// Names of waits that Graph asks of the whole app.
const (
	GraphWait     = "graph"
	DirectoryWait = "directory"
	PresenceWait  = "presence"
)

// Change is a change that was saved.
type Change struct {
	Source ooo.Source    // what it was noticed by
	Took   time.Duration // since the hint was left; 0 without one
	Lead   time.Duration // how much later the next regular read would have been
}

// Config says what a [Poller] works with. All but Presences is required.
type Config struct {
	Registry *mailbox.Registry
	Graph    Graph
	// Presences asks Graph about at most [ooo.MaxPresences] users; nil: presence is
	// not swept.
	Presences func(ctx context.Context, ids []ooo.ObjectID) (map[ooo.ObjectID]bool, error)
	Policy    ooo.Policy
	Interval  time.Duration // between two reads of a mailbox

	// Share is this replica's share of what Graph allows the app for mailboxes, up to
	// 1; Replicas is how many share the look-ups.
	Share    func() float64
	Replicas func() int
	// Wait returns what is left of a wait that Graph asked of the whole app. SetWait
	// begins one here, whatever it returns, and for all replicas.
	Wait    func(name string) time.Duration
	SetWait func(ctx context.Context, name string, wait time.Duration) error
	// BeginDelivery notes in a draft that changes the state that its delivery begins;
	// after is called once it is known whether that was saved.
	BeginDelivery func(d *mailbox.Draft) (after func(saved bool))

	// OnRead is called for each read, with its outcome and how long after it was due it
	// began; OnChange for each change; OnLateNotification for each notification that came
	// after the regular read had found what it announces; OnSweep for each sweep of
	// presence. They must return quickly.
	OnRead             func(outcome Outcome, late time.Duration)
	OnChange           func(Change)
	OnLateNotification func(by time.Duration)
	OnSweep            func(calls, turned int)
	Tracer             trace.Tracer // of changes and of what notifications caused
	Log                *slog.Logger
}

// Outcome is how a read ended; a metric label.
type Outcome string

const (
	Unchanged   Outcome = "unchanged"
	Changed     Outcome = "changed"
	Updated     Outcome = "updated" // another setting that means the same
	Throttled   Outcome = "throttled"
	Unreadable  Outcome = "unreadable"  // this mailbox can't be read
	Unavailable Outcome = "unavailable" // Graph is out of reach or busy
	Stale       Outcome = "stale"       // another replica has the mailbox by now
)

const (
	batchSize     = 20 // Graph takes no more requests in one $batch
	isolatedCalls = 64
	savesAtOnce   = 256
	// Graph takes 130,000 requests in 10 s from one app. What is overdue must not go
	// beyond that in one rush: everybody would have to wait then.
	mostReads = 12_900 // a second
	readBurst = 500
	// lookupsAtOnce is how many look-ups all replicas have in flight together.
	lookupsAtOnce = 24
)

// Poller reads mailboxes. It is a [mailbox.Worker].
type Poller struct {
	cfg  Config
	tag  string // of the policy
	rate *rate.Limiter
	// traced says that spans are exported, so that reads note their calls of Graph.
	traced bool

	regular, hinted, isolated, lookups *lane

	windows  *schedule.Queue[*target]
	saves    chan struct{}   // capacity savesAtOnce: saves in flight
	removing chan []ooo.Hint // carried out without a save
	work     sync.WaitGroup  // what the lanes started

	mu       sync.Mutex
	targets  map[ooo.RecordID]*target // guarded by mu, as all below
	calls    concurrency
	answered time.Time // when the last call began that got an answer
	lost     time.Time // when the last batch began that got none while no later call did
	probed   time.Time // when a batch was last split although Graph may be away
}

// New returns a poller that is ready to Run.
func New(cfg Config) (*Poller, error) {
	if cfg.Registry == nil || cfg.Graph == nil || cfg.Interval <= 0 || cfg.Tracer == nil || cfg.Log == nil {
		return nil, errors.New("poll: Registry, Graph, Interval, Tracer and Log are required")
	}
	p := &Poller{
		cfg: cfg, traced: cfg.Tracer != noop.Tracer{}, tag: cfg.Policy.Tag(), calls: concurrency{limit: (leastCalls + mostCalls) / 2}, rate: rate.NewLimiter(mostReads, readBurst),
		windows: schedule.New[*target](), saves: make(chan struct{}, savesAtOnce),
		removing: make(chan []ooo.Hint, mostRemovals), targets: map[ooo.RecordID]*target{},
	}
	adapting := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return int(p.calls.limit)
	}
	p.regular = newLane(batchSize, GraphWait, adapting)
	p.hinted = newLane(1, GraphWait, adapting)
	p.isolated = newLane(1, GraphWait, func() int { return isolatedCalls })
	p.lookups = newLane(1, DirectoryWait, func() int { return max(lookupsAtOnce/max(cfg.Replicas(), 1), 1) })
	return p, nil
}

func (p *Poller) lanes() []*lane { return []*lane{p.regular, p.hinted, p.isolated, p.lookups} }

// Run reads until ctx ends and returns once what is in flight has ended. What has
// been read by then is saved.
func (p *Poller) Run(ctx context.Context) error {
	var g errgroup.Group
	for _, l := range p.lanes() {
		g.Go(func() error { return p.serve(ctx, l) })
	}
	g.Go(func() error { return p.turnWindows(ctx) })
	g.Go(func() error { return p.removeHints(ctx) })
	if p.cfg.Presences != nil {
		g.Go(func() error { return p.sweepPresence(ctx) })
	}
	err := g.Wait()
	p.work.Wait()
	p.remove(context.WithoutCancel(ctx), nil)
	return err
}

// pace waits until this replica's share of what Graph allows has one more read in it.
func (p *Poller) pace(ctx context.Context) error {
	share := min(max(p.cfg.Share(), 0.001), 1)
	if limit := rate.Limit(mostReads * share); limit != p.rate.Limit() {
		p.rate.SetLimit(limit)
		p.rate.SetBurst(max(int(readBurst*share), batchSize))
	}
	return p.rate.Wait(ctx)
}

// hold has the whole app wait. Those that ask for it together are one.
func (p *Poller) hold(ctx context.Context, name string, wait time.Duration) {
	if p.cfg.Wait(name) > wait-500*time.Millisecond {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := p.cfg.SetWait(ctx, name, wait); err != nil {
		p.cfg.Log.WarnContext(ctx, "graph's wait not shared with the other replicas", "name", name, "wait", wait, "err", err)
	}
}

// Backlog returns how full and how late each kind of this work is.
func (p *Poller) Backlog(now time.Time) (reads, windows, lookups schedule.Backlog) {
	for _, l := range []*lane{p.regular, p.hinted, p.isolated} {
		b := l.queue.Backlog(now)
		reads.Waiting, reads.Lag = reads.Waiting+b.Waiting, max(reads.Lag, b.Lag)
	}
	return reads, p.windows.Backlog(now), p.lookups.queue.Backlog(now)
}
