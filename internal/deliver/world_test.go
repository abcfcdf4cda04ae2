package deliver_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/deliver"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/ownertest"
	"outlook-monitor/internal/store"
)

// inBubble runs test by the clock of a bubble.
func inBubble(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	ownertest.InBubble(t, func(t *testing.T, s *ownertest.Store) {
		w := newWorld(t)
		w.redis, w.registry = s, ownertest.NewOwner(t, mailbox.Config{Store: s})
		test(t, w)
	})
}

// delivering runs test for ann, whose state has just been recorded as away. Her calls
// are answered with the replies in turn, and from then on with the last.
func delivering(t *testing.T, test func(t *testing.T, w *world), replies ...reply) {
	t.Helper()
	inBubble(t, func(t *testing.T, w *world) {
		w.reply = inTurn(replies...)
		defer w.start(8)()
		w.monitor("ann")
		w.change("ann", away)
		test(t, w)
	})
}

func inTurn(replies ...reply) func(call) reply {
	return func(c call) reply { return replies[min(c.turn, len(replies))-1] }
}

// world is a replica with its registry, and the mediator.
type world struct {
	t        *testing.T
	redis    *ownertest.Store
	registry *ownertest.Owner
	deliver  *deliver.Deliverer
	log      bytes.Buffer
	spans    trace.TracerProvider

	mu       sync.Mutex
	reply    func(call) reply // how the mediator answers; guarded by mu, as all below
	connects time.Duration    // until a connection is there
	calls    []call
	now      int // calls in flight
	most     int
	attempts []ooo.DeliveryState
	sinces   []time.Duration
}

// call is one request that the mediator received.
type call struct {
	at                     time.Time
	path                   string
	Email, Status, Message string
	header                 http.Header
	turn                   int // 1 for the first of this user
}

// connection notes that it was closed.
type connection struct {
	net.Conn
	closed bool
}

func (c *connection) Close() error { c.closed = true; return nil }

// reply is what the mediator does with a call; a code of 0 is no answer.
type reply struct {
	code  int
	after string // Retry-After
	body  string
	takes time.Duration
	err   error
}

func newWorld(t *testing.T) *world {
	return &world{t: t, spans: noop.NewTracerProvider(), reply: func(call) reply { return reply{code: http.StatusOK} }}
}

func (w *world) mediator() *deliver.Mediator {
	w.t.Helper()
	m, err := deliver.NewMediator(deliver.MediatorConfig{URL: mustURL(w.t, "http://mediator.example"), Transport: w})
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// start runs the replica, which owns all partitions, until the returned stop, which
// ends the deliverer first and waits for it.
func (w *world) start(concurrency int) (stop func()) {
	w.t.Helper()
	w.deliver = deliver.New(deliver.Config{
		Registry: w.registry.Registry, Mediator: w.mediator(), InTime: w.registry.InTime, Concurrency: concurrency, Tracer: w.spans.Tracer("test"),
		OnAttempt: func(state ooo.DeliveryState, _ ooo.Source, _, since time.Duration) {
			w.set(func() { w.attempts = append(w.attempts, state); w.sinces = append(w.sinces, since) })
		},
		Log: slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	registry := w.registry.Run(w.deliver)
	stopped := await.Run(w.t, w.deliver.Run)
	synctest.Wait()
	return func() { stopped(); registry() }
}

// ownAgain gives this replica all partitions under a new lease.
func (w *world) ownAgain() {
	w.t.Helper()
	lease := store.Lease{Life: ownertest.Lease.Life, Tenure: ownertest.Lease.Tenure + 1}
	w.redis.Own(w.t, lease)
	w.registry.AcquireAll(lease)
	time.Sleep(10 * time.Millisecond)
}

// monitor starts to monitor users.
func (w *world) monitor(names ...string) {
	w.t.Helper()
	for _, name := range names {
		w.registry.Hint(w.redis.ChangeWish(w.t, address(name), func(wish *ooo.Wish) {
			wish.On, wish.Person, wish.Start = true, ooo.Person{ID: ooo.ObjectID(name)}, name
		}))
	}
	time.Sleep(10 * time.Millisecond)
	for _, name := range names {
		if _, ok := w.registry.Get(ooo.RecordID(name)); !ok {
			w.t.Fatalf("%s is not in memory", name)
		}
	}
}

// address is spelled in a way of its own, which must not be lost.
func address(name string) string {
	return strings.ToUpper(name[:1]) + name[1:] + "@Contoso.example"
}

// ask does as a monitor request for a user who is monitored already.
func (w *world) ask(name string) {
	w.t.Helper()
	w.registry.Hint(ooo.Hint{ID: ooo.RecordID(name), Kind: ooo.HintWish, Subject: ooo.FoldAddress(address(name))})
}

// change records a state of a user, in an update of its own.
func (w *world) change(name string, state ooo.State) {
	w.t.Helper()
	w.record(name, state, func(*mailbox.Draft) func(bool) { return func(bool) {} })
}

// record records a state of a user, and that its delivery begins.
func (w *world) record(name string, state ooo.State, begin func(*mailbox.Draft) func(bool)) {
	w.t.Helper()
	after := func(bool) {}
	_, err := w.registry.Update(ooo.RecordID(name), func(d *mailbox.Draft) error {
		d.State, d.Condition = &state, ooo.Watching
		d.QueueState(ooo.SourcePoll, ooo.Hint{}, time.Now())
		after = begin(d)
		return nil
	})
	after(err == nil)
	if err != nil {
		w.t.Fatalf("record: %v", err)
	}
}

// delivery returns what is recorded of the delivery to a user.
func (w *world) delivery(name string) ooo.Delivery {
	w.t.Helper()
	m, ok := w.registry.Get(ooo.RecordID(name))
	if !ok {
		w.t.Fatalf("%s is not in memory", name)
	}
	return m.Address(address(name)).Delivery
}

// history returns the kinds and sequence numbers of the history, such as "changed 1".
func (w *world) history() (history []string) {
	for _, save := range w.redis.Saves() {
		for _, e := range save.Events {
			text := string(e.Kind)
			if e.Sequence > 0 {
				text += " " + string(rune('0'+e.Sequence))
			}
			history = append(history, text)
		}
	}
	return history
}

// RoundTrip is the way to the mediator.
func (w *world) RoundTrip(request *http.Request) (*http.Response, error) {
	var answer reply
	var connects time.Duration
	w.set(func() { connects = w.connects })
	time.Sleep(connects)
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
	w.set(func() {
		w.now++
		w.most = max(w.most, w.now)
		c.turn = 1
		for _, before := range w.calls {
			if before.Email == c.Email && before.path == c.path {
				c.turn++
			}
		}
		w.calls = append(w.calls, c)
		answer = w.reply(c)
	})
	defer w.set(func() { w.now-- })
	select {
	case <-time.After(answer.takes):
	case <-request.Context().Done():
		return nil, request.Context().Err()
	}
	if answer.code == 0 {
		return nil, answer.err
	}
	response := &http.Response{
		StatusCode: answer.code, Header: http.Header{}, Request: request, Body: io.NopCloser(strings.NewReader(answer.body)),
	}
	if answer.after != "" {
		response.Header.Set("Retry-After", answer.after)
	}
	if answer.code/100 == 3 {
		response.Header.Set("Location", "http://elsewhere.example/")
	}
	return response, nil
}

func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// received returns the calls for a user so far.
func (w *world) received(name string) []call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.calls), func(c call) bool { return c.Email != address(name) })
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
