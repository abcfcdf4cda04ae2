package deliver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/deliver"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/ownertest"
	"outlook-monitor/internal/programtest"
)

// inBubble runs test in a synctest bubble; Redis runs outside of it, and is read each 5 s of the
// bubble's time: a day takes a minute.
func inBubble(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	ownertest.InBubble(t, func(t *testing.T, s *ownertest.Store) {
		f := newFixture(t)
		f.store, f.registry = s, ownertest.NewOwner(t, mailbox.Config{Store: s})
		test(t, f)
	})
}

// bubble is inBubble for a row of a table, whose functions must not use the t of the table.
func bubble(test func(t *testing.T, f *fixture)) func(*testing.T) {
	return func(t *testing.T) { inBubble(t, test) }
}

// withDelivery runs test after the state away was recorded for ann. The mediator gives the
// replies in order and then repeats the last one.
func withDelivery(t *testing.T, test func(t *testing.T, f *fixture), replies ...reply) {
	t.Helper()
	inBubble(t, func(t *testing.T, f *fixture) {
		f.reply = inOrder(replies...)
		defer f.start(8)()
		f.monitor("ann")
		f.recordState("ann", away)
		test(t, f)
	})
}

// delivery is withDelivery for a row of a table.
func delivery(test func(t *testing.T, f *fixture), replies ...reply) func(*testing.T) {
	return func(t *testing.T) { withDelivery(t, test, replies...) }
}

func inOrder(replies ...reply) func(call) reply {
	calls := 0
	return func(call) reply {
		calls++
		return replies[min(calls, len(replies))-1]
	}
}

// fixture is a deliverer with the real registry, an embedded Redis and a fake mediator.
type fixture struct {
	t        *testing.T
	store    *ownertest.Store
	registry *ownertest.Owner
	deliver  *deliver.Deliverer
	log      programtest.Output
	dialTime time.Duration // of the mediator

	mu       sync.Mutex
	reply    func(call) reply // of the mediator; guarded by mu, as all below
	inFlight int
	seen     observed
}

// observed is what the mediator and OnAttempt received so far.
type observed struct {
	calls    []call
	peak     int // of calls in flight
	attempts []ooo.DeliveryState
	delays   []time.Duration // from change to delivery
}

// call is a request that the mediator received.
type call struct {
	at                     time.Time
	path                   string
	Email, Status, Message string
	header                 http.Header
}

// connection records that it was closed.
type connection struct {
	net.Conn
	closed bool
}

func (c *connection) Close() error { c.closed = true; return nil }

// reply is the answer to a call; code 0 means no answer.
type reply struct {
	code    int
	after   string // Retry-After
	body    string
	latency time.Duration
	err     error
}

func newFixture(t *testing.T) *fixture {
	return &fixture{t: t, reply: func(call) reply { return reply{code: http.StatusOK} }}
}

var exampleURL = &url.URL{Scheme: "http", Host: "mediator.example"}

func (f *fixture) mediator() *deliver.Mediator {
	f.t.Helper()
	m, err := deliver.NewMediator(deliver.MediatorConfig{URL: exampleURL, Transport: f})
	must.NoError(f.t, err)
	return m
}

// start runs a deliverer that owns all partitions until the returned stop, which waits for
// it.
func (f *fixture) start(concurrency int) (stop func()) {
	f.t.Helper()
	f.deliver = f.newDeliverer(concurrency)
	stopRegistry := f.registry.Run(f.deliver)
	stopDeliverer := await.Run(f.t, f.deliver.Run)
	synctest.Wait()
	return func() { stopDeliverer(); stopRegistry() }
}

func (f *fixture) newDeliverer(concurrency int) *deliver.Deliverer {
	f.t.Helper()
	return deliver.New(deliver.Config{
		Registry: f.registry.Registry, Mediator: f.mediator(), InTime: f.registry.InTime, Concurrency: concurrency, Tracer: noop.Tracer{},
		OnAttempt: func(state ooo.DeliveryState, _ ooo.Source, _, since time.Duration) {
			f.set(func() { f.seen.attempts, f.seen.delays = append(f.seen.attempts, state), append(f.seen.delays, since) })
		},
		Log: slog.New(slog.NewTextHandler(&f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
}

// advance lets time pass and waits until all goroutines are blocked.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// monitor starts monitoring users.
func (f *fixture) monitor(names ...string) {
	f.t.Helper()
	for _, name := range names {
		f.registry.Hint(f.store.ChangeWish(f.t, address(name), func(wish *ooo.Wish) {
			wish.On, wish.Person, wish.StartID = true, ooo.Person{ID: ooo.ObjectID(name)}, name
		}))
	}
	advance(10 * time.Millisecond)
	for _, name := range names {
		if _, ok := f.registry.Get(ooo.RecordID(name)); !ok {
			f.t.Fatalf("%s is not in memory", name)
		}
	}
}

// address returns an address in mixed case, which must be kept.
func address(name string) string {
	return strings.ToUpper(name[:1]) + name[1:] + "@Contoso.example"
}

// stopMonitoring stops monitoring a user.
func (f *fixture) stopMonitoring(name string) {
	f.registry.Hint(f.store.ChangeWish(f.t, address(name), func(wish *ooo.Wish) { wish.On = false }))
}

// hint leaves a hint for a user: [ooo.HintWish] as a repeated monitor request does, or [ooo.HintResend].
func (f *fixture) hint(name string, kind ooo.HintKind) {
	f.registry.Hint(ooo.Hint{ID: ooo.RecordID(name), Kind: kind, Subject: ooo.FoldAddress(address(name))})
}

// drain drains the partition of ann.
func (f *fixture) drain() {
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	if err := f.registry.Drain(ctx, ooo.RecordID("ann").Partition()); err != nil {
		f.t.Errorf("Drain: %v", err)
	}
}

// recordState records a state of a user, and begins the delivery in the same update if it can.
func (f *fixture) recordState(name string, state ooo.State) {
	f.t.Helper()
	_, err := f.registry.Update(ooo.RecordID(name), func(d *mailbox.Draft) error {
		d.State, d.Condition = &state, ooo.Watching
		d.QueueState(ooo.SourcePoll, ooo.Hint{}, time.Now())
		f.deliver.BeginDelivery(d)
		return nil
	})
	must.NoError(f.t, err)
}

// delivery returns the recorded delivery of a user.
func (f *fixture) delivery(name string) ooo.Delivery {
	f.t.Helper()
	m, ok := f.registry.Get(ooo.RecordID(name))
	if !ok {
		f.t.Fatalf("%s is not in memory", name)
	}
	return m.Address(address(name)).Delivery
}

// history returns the saved events with their sequence numbers, such as "started, changed 1".
func (f *fixture) history() string {
	var history []string
	for _, save := range f.store.Saves() {
		for _, e := range save.Events {
			text := strings.TrimSuffix(fmt.Sprintf("%s %d", e.Kind, e.Sequence), " 0")
			if e.Attempt > 0 && e.Source == "" {
				f.t.Errorf("event = %+v, want the source of its state", e)
			}
			history = append(history, text)
		}
	}
	return strings.Join(history, ", ")
}

// RoundTrip is the transport to the mediator.
func (f *fixture) RoundTrip(request *http.Request) (*http.Response, error) {
	var answer reply
	time.Sleep(f.dialTime)
	c := call{at: time.Now(), path: request.URL.Path, header: request.Header.Clone()}
	if trace := httptrace.ContextClientTrace(request.Context()); trace != nil {
		var conn connection
		trace.GotConn(httptrace.GotConnInfo{Conn: &conn})
		if trace.WroteHeaders(); conn.closed {
			return nil, net.ErrClosed
		}
	}
	if request.ContentLength > 0 {
		if err := json.NewDecoder(request.Body).Decode(&c); err != nil {
			return nil, err
		}
	}
	f.set(func() {
		f.inFlight++
		f.seen.peak = max(f.seen.peak, f.inFlight)
		f.seen.calls = append(f.seen.calls, c)
		answer = f.reply(c)
	})
	defer f.set(func() { f.inFlight-- })
	select {
	case <-time.After(answer.latency):
	case <-request.Context().Done():
		return nil, request.Context().Err()
	}
	if answer.code == 0 {
		return nil, answer.err
	}
	response := httptest.NewRecorder()
	response.Header().Set("Retry-After", answer.after)
	response.WriteHeader(answer.code)
	_, _ = response.WriteString(answer.body)
	return response.Result(), nil
}

func (f *fixture) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fixture) observed() (seen observed) {
	f.set(func() { seen = f.seen })
	return seen
}

// received returns the calls for a user.
func (f *fixture) received(name string) []call {
	return slices.DeleteFunc(slices.Clone(f.observed().calls), func(c call) bool { return c.Email != address(name) })
}
