package deliver_test

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/deliver"
	"outlook-monitor/internal/ooo"
)

// world is Redis' deliver queue and records in memory, by the clock of the
// test's bubble, and the mediator at the other end of the wire.
type world struct {
	mu       sync.Mutex
	records  map[ooo.Key]*record // guarded by mu, as all below
	token    int
	beginErr error
	saveErr  error
	receipts []ooo.Receipt
	told     []ooo.Receipt
	sinces   []time.Duration

	reply func(call) reply // how the mediator answers
	calls []call
	now   int // calls in flight
	most  int
	wake  chan struct{} // capacity 1

	begun  int            // calls of Begin
	handed chan ooo.Claim // capacity 10
}

// record is what is kept of one user.
type record struct {
	address        string
	state          ooo.State
	sequence, done int64
	tried          int64
	tries          int
	changed        time.Time
	gone           bool

	due   time.Time // zero: not in the queue
	held  string    // token
	again bool
	floor time.Time
}

// call is one request that the mediator got.
type call struct {
	at      time.Time
	path    string
	header  http.Header
	email   string
	status  string
	message string
	turn    int // 1 for the first of this user
}

// reply is what the mediator does with a call; a code of 0 is no answer.
type reply struct {
	code  int
	after string // Retry-After
	body  string
	takes time.Duration
	err   error
}

func newWorld() *world {
	return &world{
		records: map[ooo.Key]*record{}, wake: make(chan struct{}, 1), handed: make(chan ooo.Claim, 10),
		reply: func(call) reply { return reply{code: http.StatusOK} },
	}
}

// change records a state of a user, as the watcher does.
func (w *world) change(name string, state ooo.State) {
	w.set(func() {
		r := w.records[ooo.Key(name)]
		if r == nil {
			r = &record{address: name + "@contoso.example"}
			w.records[ooo.Key(name)] = r
		}
		r.state, r.changed = state, time.Now()
		r.sequence++
		r.mark()
	})
	w.ring()
}

// mark makes a user due, as a monitor request does.
func (w *world) mark(name string) {
	w.set(func() { w.records[ooo.Key(name)].mark() })
	w.ring()
}

func (r *record) mark() {
	at := time.Now()
	if at.Before(r.floor) {
		at = r.floor
	}
	if r.held != "" {
		r.again = true
	} else if r.due.IsZero() || at.Before(r.due) {
		r.due = at
	}
}

func (w *world) ring() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *world) Claim(_ context.Context, q ooo.Queue, n int, lease time.Duration) (ooo.Batch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := ooo.Batch{Now: time.Now()}
	for key, r := range w.records {
		switch {
		case r.due.IsZero():
		case r.due.After(b.Now):
			if b.Next.IsZero() || r.due.Before(b.Next) {
				b.Next = r.due
			}
		case len(b.Claims) < n:
			w.token++
			b.Claims = append(b.Claims, ooo.Claim{Queue: q, Key: key, Token: strconv.Itoa(w.token), Due: r.due})
			r.held, r.due, r.again = strconv.Itoa(w.token), b.Now.Add(lease), false
		}
	}
	return b, nil
}

func (w *world) Extend(_ context.Context, _ ooo.Queue, claims []ooo.Claim, lease time.Duration) (lost []ooo.Claim, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range claims {
		if r := w.records[c.Key]; r.held == c.Token {
			r.due = time.Now().Add(lease)
		} else {
			lost = append(lost, c)
		}
	}
	return lost, nil
}

func (w *world) Done(_ context.Context, _ ooo.Queue, finished []ooo.Finished) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range finished {
		if r := w.records[f.Claim.Key]; r.held == f.Claim.Token {
			r.release(f.Next)
		}
	}
	return nil
}

func (r *record) release(next time.Time) {
	r.held, r.due = "", next
	if r.again {
		r.again = false
		r.mark()
	}
}

func (w *world) Next(ooo.Queue) (next time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.records {
		if !r.due.IsZero() && (next.IsZero() || r.due.Before(next)) {
			next = r.due
		}
	}
	return next
}

func (w *world) Wake(ooo.Queue) <-chan struct{}      { return w.wake }
func (w *world) Recall(ooo.Queue) <-chan struct{}    { return make(chan struct{}) }
func (w *world) Handed(ooo.Queue) <-chan ooo.Claim   { return w.handed }
func (w *world) Offer(ooo.Queue, int, time.Duration) {}

func (w *world) Begin(_ context.Context, c ooo.Claim) (ooo.Parcel, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.records[c.Key]
	w.begun++
	switch {
	case w.beginErr != nil:
		return ooo.Parcel{}, false, w.beginErr
	case r.held != c.Token:
		return ooo.Parcel{}, false, ooo.ErrStale
	case r.gone:
		return ooo.Parcel{}, false, ooo.ErrNotMonitored
	case r.sequence == r.done:
		return ooo.Parcel{}, false, nil
	}
	if r.tried != r.sequence {
		r.tried, r.tries = r.sequence, 0
	}
	if c.Parcel == nil || c.Parcel.Sequence != r.sequence {
		r.tries++
	}
	return w.parcel(c.Key), true, nil
}

// parcel is the newest state of a user; the caller holds mu.
func (w *world) parcel(key ooo.Key) ooo.Parcel {
	r := w.records[key]
	return ooo.Parcel{
		Key: key, Address: r.address, State: r.state, Sequence: r.sequence, ChangedAt: r.changed,
		WebhookID: "msg_" + string(key) + "_" + strconv.FormatInt(r.sequence, 10), Attempt: r.tries,
	}
}

// hand records a state of a new user and claims it for the deliverer in one step.
func (w *world) hand(name string, state ooo.State) {
	w.set(func() {
		key := ooo.Key(name)
		w.records[key] = &record{address: name + "@contoso.example", state: state, changed: time.Now(),
			sequence: 1, tried: 1, tries: 1, held: "handed", due: time.Now().Add(time.Minute)}
		parcel := w.parcel(key)
		w.handed <- ooo.Claim{Queue: ooo.DeliverQueue, Key: key, Token: "handed", Due: time.Now(), Asked: time.Now(), Parcel: &parcel}
	})
}

func (w *world) Finish(ctx context.Context, c ooo.Claim, receipt ooo.Receipt) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.saveErr; err != nil || ctx.Err() != nil {
		w.saveErr = nil
		return cmp.Or(ctx.Err(), err)
	}
	r := w.records[c.Key]
	if r.held != c.Token {
		return ooo.ErrStale
	}
	w.receipts = append(w.receipts, receipt)
	next := receipt.Next
	if receipt.State == ooo.DeliveryDelivered {
		r.done, next = receipt.Parcel.Sequence, time.Time{}
	}
	if r.floor = (time.Time{}); receipt.Floor {
		r.floor = receipt.Next
	}
	if r.sequence > receipt.Parcel.Sequence {
		next = time.Now()
		if next.Before(r.floor) {
			next = r.floor
		}
	}
	r.release(next)
	w.ring()
	return nil
}

// RoundTrip is the wire to the mediator.
func (w *world) RoundTrip(request *http.Request) (*http.Response, error) {
	c := call{at: time.Now(), path: request.URL.Path, header: request.Header.Clone()}
	if request.Body != nil {
		text, err := io.ReadAll(request.Body)
		if err != nil {
			return nil, err
		}
		var said struct{ Email, Status, Message string }
		if len(text) > 0 {
			if err := json.Unmarshal(text, &said); err != nil {
				return nil, err
			}
		}
		c.email, c.status, c.message = said.Email, said.Status, said.Message
	}
	var answer reply
	w.set(func() {
		w.now++
		w.most = max(w.most, w.now)
		c.turn = 1
		for _, before := range w.calls {
			if before.email == c.email && before.path == c.path {
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
		StatusCode: answer.code, Header: http.Header{}, Request: request,
		Body: io.NopCloser(strings.NewReader(answer.body)),
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

// heard returns the calls for a user so far.
func (w *world) heard(name string) []call {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := slices.Clone(w.calls)
	return slices.DeleteFunc(all, func(c call) bool { return c.email != name+"@contoso.example" })
}

// receipt returns the last one of a user.
func (w *world) receipt(name string) ooo.Receipt {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := ooo.Receipt{}
	for _, r := range w.receipts {
		if r.Parcel.Key == ooo.Key(name) {
			last = r
		}
	}
	return last
}

func (w *world) mediator(t *testing.T) *deliver.Mediator {
	t.Helper()
	m, err := deliver.NewMediator(deliver.MediatorConfig{URL: mustURL(t, "http://mediator.example"), Transport: w})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// start delivers until the returned stop, which waits for it.
func (w *world) start(t *testing.T, workers int) (stop func()) {
	t.Helper()
	d, err := deliver.New(deliver.Config{
		Queue: w, Store: w, Mediator: w.mediator(t), Workers: workers,
		Told: func(r ooo.Receipt, _, since time.Duration) {
			w.set(func() { w.told = append(w.told, r); w.sinces = append(w.sinces, since) })
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return running(t, d.Run)
}

// running runs until the returned stop, which waits for it.
func running(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		if err := run(ctx); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	return func() { cancel(); group.Wait() }
}
