// Package poll reads the mailboxes that this replica owns and detects when their users turn
// Out of Office on or off.
//
// Each mailbox is read once per interval, whatever its subscriptions do. A hash of its id
// determines its phase in the interval, so that batches fill and a new owner mostly keeps the
// cadence. Due mailboxes are read in batches of up to 20, or of 4 while Graph is slow and few
// calls are in flight; no read waits for a batch to fill.
// An answer whose digest is known costs no decoding, no Redis and hardly any memory.
//
// Reads begin in four lanes (see lane): regular reads; expedited reads, such as those that a
// hint requests, each alone and at once; isolated mailboxes, which hang or are slow and are
// read alone so that they delay no other; and look-ups of addresses. From there, read.go
// follows one change: read, decide, save.
//
// The limits on calls in flight are fixed. They need not adapt to what Graph can take: reads
// begin when they are due, at most as many a second as Graph allows the app, and none while
// Graph asks the app to wait. Batches are hardly split while Graph answers nothing, so an
// outage does not multiply the calls.
//
// The edges of scheduled windows follow the wall clock and the setting that was read last, so
// a window opens and closes on the second even while Graph is unavailable. A failed read never
// changes the state: the mailbox is shown as unknown with the reason until a read succeeds.
// Only the failure that makes it unknown, a changed reason at a check, at the third failure of a
// kind and after eight minutes, and waits longer than one interval are saved; otherwise an outage
// would cost one save per read.
package poll

import (
	"context"
	"log/slog"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// Graph reads mailboxes and the directory.
type Graph interface {
	// Read reads mailboxes in one call. A result is Unchanged if its answer has the known digest.
	Read(ctx context.Context, ids []ooo.ObjectID, known []ooo.Digest) []ooo.ReadResult
	Find(ctx context.Context, address string) (ooo.Person, error)
	FindByID(ctx context.Context, id ooo.ObjectID) (ooo.Person, error)
}

// Change is a change of state that was saved.
type Change struct {
	Source ooo.Source    // what caused the read that noticed it
	Took   time.Duration // since the hint was left; 0 without a hint
	Lead   time.Duration // how much later the next regular read would have been
}

// Config configures a [Poller]. All fields but Presences are required.
type Config struct {
	Registry *mailbox.Registry
	Graph    Graph
	// Presences returns the presence of at most [ooo.MaxPresences] users. If it is nil,
	// presence is not swept.
	Presences func(ctx context.Context, ids []ooo.ObjectID) (map[ooo.ObjectID]bool, error)
	Policy    ooo.Policy
	Interval  time.Duration // POLL_INTERVAL; replicas may differ

	// InTime reports whether this replica may start work now: its ownership was confirmed
	// recently.
	InTime func() bool
	// Share returns this replica's share, up to 1, of the reads that Graph allows the app.
	Share func() float64
	// Wait returns what is left of a wait that Graph asked of the whole app. SetWait begins
	// such a wait for all replicas.
	Wait    func(name string) time.Duration
	SetWait func(ctx context.Context, name string, wait time.Duration)
	// BeginDelivery records in a draft that changes the state that the delivery begins.
	BeginDelivery func(d *mailbox.Draft)

	// The callbacks must return quickly. OnRead is called for each read, with its outcome and
	// how late it began, 0 for an expedited one; OnChange for each change; OnLateNotification for
	// each notification of a change that a regular read had found before; OnSweep for each sweep of
	// presence.
	OnRead             func(outcome Outcome, late time.Duration)
	OnChange           func(Change)
	OnLateNotification func(by time.Duration)
	OnSweep            func(calls, changed int)
	Tracer             trace.Tracer // of changes and of reads caused by notifications
	Log                *slog.Logger
}

// Outcome is how a read ended; a metric label.
type Outcome string

const (
	Unchanged   Outcome = "unchanged"
	Changed     Outcome = "changed"
	Updated     Outcome = "updated" // a different setting with the same meaning
	Throttled   Outcome = "throttled"
	Unreadable  Outcome = "unreadable"  // this mailbox can't be read
	Unavailable Outcome = "unavailable" // Graph is unreachable or busy
	Stale       Outcome = "stale"       // its record changed during the read, or this replica no longer owns it
)

const (
	maxBatch         = 20     // the most requests that Graph accepts in one $batch
	batchConcurrency = 4      // how many of them Graph runs at a time: one round
	maxThrottled     = 10_000 // dropped mailboxes whose Retry-After is remembered; beyond it the oldest are forgotten
	maxSaves         = 256    // results that are being saved; the registry has fewer saves in flight
	// Calls in flight of each lane.
	maxReads         = 96 // regular ones, and as many expedited ones
	maxIsolatedReads = 64
	maxLookups       = 24 // any that Graph throttles pauses the look-ups of all replicas
	// Graph allows an app 130,000 requests in 10 s. A rush of overdue reads must stay below
	// that, or Graph makes the whole app wait.
	maxReadRate = 12_900 // a second
	readBurst   = 500
)

// Poller reads mailboxes. It is a [mailbox.Worker].
type Poller struct {
	cfg       Config
	policyTag string
	rate      *rate.Limiter
	traced    bool // spans are exported, so calls to Graph are recorded

	regular, expedited, isolated, lookups *lane

	edges     *schedule.Queue[*target]            // of scheduled windows
	saves     chan struct{}                       // capacity maxSaves
	tasks     sync.WaitGroup                      // started by the lanes
	throttled *lru.Cache[ooo.RecordID, time.Time] // until when Graph asked to wait for mailboxes that were dropped meanwhile

	mu             sync.Mutex
	targets        map[ooo.RecordID]*target   // guarded by mu, like the fields below
	spare          map[time.Duration][]target // by phase: allocated, but not used yet
	round          time.Duration              // moving average of how long a round of a batch takes; a few slow mailboxes hardly change it
	lastAnswered   time.Time                  // when the latest answered call began
	lastUnanswered time.Time                  // when the latest unanswered batch began, if no later call had been answered
	lastProbe      time.Time                  // when a batch was last split although Graph seemed unreachable
}

// New returns a poller that is ready to Run.
func New(cfg Config) *Poller {
	throttled, _ := lru.New[ooo.RecordID, time.Time](maxThrottled) // fails only for a size below 1
	return &Poller{
		cfg: cfg, policyTag: cfg.Policy.Tag(), rate: rate.NewLimiter(maxReadRate, readBurst), traced: cfg.Tracer != noop.Tracer{},
		edges: schedule.New[*target](), saves: make(chan struct{}, maxSaves), throttled: throttled,
		targets: map[ooo.RecordID]*target{}, spare: map[time.Duration][]target{},
		regular: newLane(maxBatch, ooo.GraphWait, maxReads), expedited: newLane(1, ooo.GraphWait, maxReads),
		isolated: newLane(1, ooo.GraphWait, maxIsolatedReads), lookups: newLane(1, ooo.DirectoryWait, maxLookups),
	}
}

func (p *Poller) lanes() []*lane { return []*lane{p.regular, p.expedited, p.isolated, p.lookups} }

// Run reads until ctx ends, and returns once all work in flight has ended. Mailboxes that
// were read by then are saved.
func (p *Poller) Run(ctx context.Context) error {
	var g errgroup.Group
	for _, l := range p.lanes() {
		g.Go(func() error { return p.runLane(ctx, l) })
	}
	g.Go(func() error { return p.decideEdges(ctx) })
	if p.cfg.Presences != nil {
		g.Go(func() error { return p.sweepPresence(ctx) })
	}
	err := g.Wait()
	p.tasks.Wait()
	return err
}

// share returns this replica's share of what Graph allows the app; above 0, so that no limiter
// waits for ever.
func (p *Poller) share() float64 { return max(p.cfg.Share(), 0.001) }

// pace waits until this replica's share of what Graph allows admits one more read.
func (p *Poller) pace(ctx context.Context) error {
	share := p.share()
	p.rate.SetLimit(rate.Limit(maxReadRate * share))
	p.rate.SetBurst(max(int(readBurst*share), maxBatch))
	return p.rate.Wait(ctx)
}

// paused reports whether a wait of the whole app is running. If so it first sleeps, but only
// for a part of the wait, because the wait may be extended.
func (p *Poller) paused(ctx context.Context, name string) bool {
	wait := p.cfg.Wait(name)
	if wait > 0 {
		schedule.Sleep(ctx, min(wait, 250*time.Millisecond))
	}
	return wait > 0
}

// Backlog returns how full and how late the reads, the edges of windows and the look-ups are.
func (p *Poller) Backlog(now time.Time) (reads, windows, lookups schedule.Backlog) {
	for _, l := range []*lane{p.regular, p.expedited, p.isolated} {
		b := l.queue.Backlog(now)
		reads.Waiting, reads.Lag = reads.Waiting+b.Waiting, max(reads.Lag, b.Lag)
	}
	return reads, p.edges.Backlog(now), p.lookups.queue.Backlog(now)
}
