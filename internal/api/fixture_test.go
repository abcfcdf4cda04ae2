package api_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/store"
)

// fixture is a fake store and directory, and the rest of the configuration of an API.
type fixture struct {
	mu           sync.Mutex
	wishes       map[string]ooo.Wish // by folded address; guarded by mu, as all below
	damaged      string              // folded address of a wish that can't be read
	rows         map[string]ooo.Summary
	users        map[string]ooo.User // monitored users; others are pending
	directory    map[string]ooo.Person
	lookupErr    error // of every look-up
	lookupHangs  bool  // every look-up lasts until its context ends
	err          error // of every call of the store
	contended    int   // swaps that find each wish changed since it was read
	lookups      int
	waits        map[string]time.Duration
	starts       []string   // addresses that were written
	hints        []ooo.Hint // all that were left
	retried      []string   // folded addresses of stops that were retried successfully
	events       []ooo.Event
	historyLimit int // of the last history
	syncRequests int

	afterWish func(ctx context.Context, err error) error // called after a wish was read, returns the error; may be nil

	sync     func(context.Context) error
	log      *slog.Logger
	level    *slog.LevelVar
	checks   []api.Check
	token    string
	loopback bool // without a token, answer only under loopback names
	unready  bool
}

func newFixture() *fixture {
	return &fixture{
		wishes: map[string]ooo.Wish{}, rows: map[string]ooo.Summary{}, users: map[string]ooo.User{}, directory: map[string]ooo.Person{},
		waits: map[string]time.Duration{}, log: slog.New(slog.DiscardHandler), level: new(slog.LevelVar),
		sync: func(context.Context) error { return nil },
	}
}

func userNamed(address string) ooo.User { return ooo.User{Address: ooo.Address{Spelling: address}} }

// add adds a monitored user. Missing fields get defaults.
func (f *fixture) add(u ooo.User) {
	folded := u.Folded()
	if u.Person.ID == "" {
		u.Person.ID = ooo.ObjectID("id-" + strings.ReplaceAll(folded, "@", "-at-"))
	}
	u.Condition, u.Delivery.State = cmp.Or(u.Condition, ooo.Watching), cmp.Or(u.Delivery.State, ooo.DeliveryNone)
	wish := ooo.Wish{Address: u.Spelling, On: true, Person: u.Person, StartID: "1", Nonce: "1"}
	f.wishes[folded], f.users[folded] = wish, u
	f.rows[folded] = ooo.Summary{Address: u.Spelling, ID: wish.Record(), Condition: u.Condition, Delivery: u.Delivery.State}
}

// update changes f under its lock.
func (f *fixture) update(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// isRetry reports whether a call belongs to a retry of a stop, which has a shorter deadline.
func isRetry(ctx context.Context) bool {
	deadline, _ := ctx.Deadline()
	return time.Until(deadline) <= 2*time.Second
}

func (f *fixture) Wish(ctx context.Context, address string) (wish ooo.Wish, err error) {
	folded := ooo.FoldAddress(address)
	f.update(func() {
		if isRetry(ctx) && f.err == nil {
			f.retried = append(f.retried, folded)
		}
		switch wish, err = f.wishes[folded], f.err; {
		case err != nil:
			wish = ooo.Wish{}
		case wish.Address == "" && (wish.Nonce != "" || f.damaged == folded):
			err = store.ErrDamaged
		}
	})
	if f.afterWish != nil {
		err = f.afterWish(ctx, err)
	}
	return wish, err
}

func (f *fixture) Wishes(ctx context.Context, addresses ...string) (wishes []ooo.Wish, err error) {
	f.update(func() {
		for _, address := range addresses {
			wishes = append(wishes, f.wishes[ooo.FoldAddress(address)])
		}
		err = f.err
	})
	if f.afterWish != nil {
		err = f.afterWish(ctx, err)
	}
	return wishes, err
}

func (f *fixture) SwapWish(ctx context.Context, old, next ooo.Wish) (bool, error) {
	swapped, err := f.SwapWishes(ctx, []store.WishChange{{Old: old, New: next}})
	return swapped[0], err
}

func (f *fixture) SwapWishes(ctx context.Context, changes []store.WishChange) ([]bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	swapped := make([]bool, len(changes))
	if ctx.Err() != nil {
		return swapped, ctx.Err()
	}
	if f.contended > 0 {
		f.contended--
		return swapped, nil
	}
	for i, c := range changes {
		folded := ooo.FoldAddress(c.New.Address)
		if swapped[i] = f.err == nil && f.wishes[folded].Nonce == c.Old.Nonce; !swapped[i] {
			continue
		}
		f.wishes[folded] = c.New
		f.hints = append(f.hints, c.New.Hint(ooo.HintWish))
		if c.New.On {
			f.starts = append(f.starts, c.New.Address)
		}
	}
	return swapped, f.err
}

func (f *fixture) Summary(_ context.Context, wish ooo.Wish) (ooo.Summary, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	folded := ooo.FoldAddress(wish.Address)
	switch row, ok := f.rows[folded]; {
	case f.err == nil && f.wishes[folded].Nonce != wish.Nonce:
		return ooo.Summary{}, false, store.ErrChanged
	case ok && row.ID == "":
		return ooo.Summary{}, false, store.ErrDamaged
	case f.err == nil && row.ID == wish.Record():
		return row, true, nil
	}
	return ooo.Summary{}, false, f.err
}

func (f *fixture) RecordOf(_ context.Context, address string) (ooo.RecordID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rows[ooo.FoldAddress(address)].ID, f.err
}

func (f *fixture) User(_ context.Context, address string) (ooo.User, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.user(ooo.FoldAddress(address))
}

func (f *fixture) user(folded string) (ooo.User, error) {
	wish := f.wishes[folded]
	switch u, known := f.users[folded]; {
	case f.err != nil:
		return ooo.User{}, f.err
	case !wish.On:
		return ooo.User{}, ooo.ErrNotMonitored
	case known:
		return u, nil
	}
	return ooo.PendingUser(wish.Address, wish.Person), nil
}

func (f *fixture) Users(_ context.Context, limit int, cursor string) ([]ooo.User, string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []ooo.User
	for _, folded := range slices.Sorted(maps.Keys(f.wishes)) {
		if u, err := f.user(folded); err == nil && folded > cursor {
			all = append(all, u)
		}
	}
	if len(all) > limit {
		return all[:limit], all[max(limit, 1)-1].Folded(), f.err // a panic would not change an answer that was already written
	}
	return all, "", f.err
}

func (f *fixture) History(_ context.Context, address string, limit int) ([]ooo.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.historyLimit = limit
	_, err := f.user(ooo.FoldAddress(address))
	return f.events, err
}

func (f *fixture) leave(_ context.Context, hints ...ooo.Hint) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.hints = append(f.hints, hints...)
	}
	return f.err
}

// hintKeys returns "kind id subject" of the hints that were left.
func (f *fixture) hintKeys() (keys []string) {
	for _, h := range f.hints {
		keys = append(keys, strings.TrimSpace(string(h.Kind)+" "+string(h.ID)+" "+h.Subject))
	}
	return keys
}

func (f *fixture) Find(ctx context.Context, address string) (ooo.Person, error) {
	if f.lookupHangs {
		<-ctx.Done()
		return ooo.Person{}, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lookups++
	person, ok := f.directory[strings.ToLower(address)]
	if f.lookupErr == nil && !ok {
		return person, ooo.ErrNotInDirectory
	}
	return person, f.lookupErr
}

var errAway = errors.New("redis: connection refused")

// handler returns the routes of an API that uses f.
func handler(t *testing.T, f *fixture) *gin.Engine {
	t.Helper()
	_, engine := f.open(t)
	return engine
}

func (f *fixture) open(t *testing.T) (*api.API, *gin.Engine) {
	t.Helper()
	a := api.New(api.Config{
		Wishes: f, Users: f, LeaveHints: f.leave, Directory: f, Sync: f.sync, Checks: f.checks,
		Wait:        func(name string) (d time.Duration) { f.update(func() { d = f.waits[name] }); return d },
		SetWait:     func(_ context.Context, name string, d time.Duration) { f.update(func() { f.waits[name] = d }) },
		RequestSync: func() { f.update(func() { f.syncRequests++ }) }, Ready: func() bool { return !f.unready }, Level: f.level, Log: f.log,
		Access:  server.NewAccess(server.AccessConfig{Token: f.token, AnyHost: !f.loopback, Wrong: func() {}, Log: f.log}),
		Metrics: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "metrics") }),
	})
	engine := api.NewEngine(f.log)
	a.Register(engine)
	return a, engine
}

type request struct {
	method, path, body string
	header             map[string]string
}

func get(path string) request    { return request{method: http.MethodGet, path: path} }
func head(path string) request   { return request{method: http.MethodHead, path: path} }
func put(path string) request    { return request{method: http.MethodPut, path: path} }
func post(path string) request   { return request{method: http.MethodPost, path: path} }
func remove(path string) request { return request{method: http.MethodDelete, path: path} }

func postJSON(path, body string) request {
	return request{http.MethodPost, path, body, map[string]string{"Content-Type": "application/json"}}
}

func postMonitor(body string) request { return postJSON("/monitor", body) }

func monitor(email, status string) request {
	return postMonitor(fmt.Sprintf(`{"email":%q,"status":%q}`, email, status))
}

func bulkStart(email string) request {
	return postJSON("/api/users", fmt.Sprintf(`{"emails":[%q]}`, email))
}

func putJSON(path, body string) request {
	r := postJSON(path, body)
	r.method = http.MethodPut
	return r
}

// ask sends the request to a handler.
func (r request) ask(handler http.Handler) (answer *httptest.ResponseRecorder, body string) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // as if the caller had closed its half of the connection
	q := httptest.NewRequestWithContext(ctx, r.method, r.path, strings.NewReader(r.body))
	for name, value := range r.header {
		q.Header.Set(name, value)
	}
	if r.header["Transfer-Encoding"] == "chunked" {
		q.ContentLength = -1
	}
	answer = httptest.NewRecorder()
	handler.ServeHTTP(answer, q)
	return answer, answer.Body.String()
}
