package api_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
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

// world is the store and the directory in memory.
type world struct {
	mu        sync.Mutex
	wishes    map[string]ooo.Wish // by folded address; guarded by mu, as all below
	rows      map[string]ooo.Summary
	users     map[string]ooo.User // of wishes that say on; others are pending
	directory map[string]ooo.Person
	finding   error // of every look-up; nil: by directory
	err       error // of every call of the store
	lookups   int
	waits     map[string]time.Duration
	starts    []string   // addresses whose wish was written, on, with a hint for its owner
	hints     []ooo.Hint // that were left, with a wish or alone
	late      []string   // folded addresses of stops that were retried with success
	events    []ooo.Event
	asked     int // the limit of the last history
	sync      func(context.Context) error
	log       *slog.Logger
	level     *slog.LevelVar
	checks    []api.Check
	token     string
	loopback  bool // without a token, only loopback names are answered
	unready   bool
	owed      int    // syncs
	damaged   string // folded address of a wish that can't be read
}

func newWorld() *world {
	return &world{
		wishes: map[string]ooo.Wish{}, rows: map[string]ooo.Summary{}, users: map[string]ooo.User{}, directory: map[string]ooo.Person{},
		waits: map[string]time.Duration{}, log: slog.New(slog.DiscardHandler), level: new(slog.LevelVar),
		sync: func(context.Context) error { return nil },
	}
}

func named(address string) ooo.User { return ooo.User{Address: ooo.Address{Spelling: address}} }

// add monitors a user; what is not known of it is made up.
func (w *world) add(u ooo.User) {
	folded := u.Folded()
	if u.Person.ID == "" {
		u.Person.ID = ooo.ObjectID("id-" + strings.ReplaceAll(folded, "@", "-at-"))
	}
	u.Condition, u.Delivery.State = cmp.Or(u.Condition, ooo.Watching), cmp.Or(u.Delivery.State, ooo.DeliveryNone)
	wish := ooo.Wish{Address: u.Spelling, On: true, Person: u.Person, Start: "1", Nonce: "1"}
	w.wishes[folded], w.users[folded] = wish, u
	w.rows[folded] = ooo.Summary{Address: u.Spelling, ID: wish.Record(), Condition: u.Condition, Delivery: u.Delivery.State}
}

// late reports whether a call is a retry of a stop, which has less time.
func late(ctx context.Context) bool {
	deadline, _ := ctx.Deadline()
	return time.Until(deadline) <= 2*time.Second
}

func (w *world) Wish(ctx context.Context, address string) (ooo.Wish, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if late(ctx) && w.err == nil {
		w.late = append(w.late, ooo.FoldAddress(address))
	}
	wish := w.wishes[ooo.FoldAddress(address)]
	if w.err == nil && wish.Address == "" && (wish.Nonce != "" || w.damaged == ooo.FoldAddress(address)) {
		return wish, store.ErrDamaged
	}
	return wish, w.err
}

func (w *world) Wishes(_ context.Context, addresses ...string) (wishes []ooo.Wish, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, address := range addresses {
		wishes = append(wishes, w.wishes[ooo.FoldAddress(address)])
	}
	return wishes, w.err
}

func (w *world) SwapWish(ctx context.Context, old, next ooo.Wish, hint ooo.Hint) (bool, error) {
	swapped, err := w.SwapWishes(ctx, []store.WishChange{{Old: old, New: next, Hint: hint}})
	return err == nil && swapped[0], err
}

func (w *world) SwapWishes(_ context.Context, changes []store.WishChange) ([]bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	swapped := make([]bool, len(changes))
	for i, c := range changes {
		folded := ooo.FoldAddress(c.New.Address)
		if swapped[i] = w.err == nil && w.wishes[folded].Nonce == c.Old.Nonce; !swapped[i] {
			continue
		}
		if earliest := c.Old.At.Add(time.Millisecond); c.New.At.Before(earliest) { // as the store does
			c.New.At = earliest
		}
		w.wishes[folded] = c.New
		if c.Hint.Kind == "" {
			continue
		}
		w.hints = append(w.hints, c.Hint)
		if c.New.On {
			w.starts = append(w.starts, c.New.Address)
		}
	}
	return swapped, w.err
}

func (w *world) Summary(_ context.Context, wish ooo.Wish) (ooo.Summary, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	row, ok := w.rows[ooo.FoldAddress(wish.Address)]
	return row, ok && row.ID == wish.Record(), w.err
}

func (w *world) RecordOf(_ context.Context, address string) (ooo.RecordID, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rows[ooo.FoldAddress(address)].ID, w.err
}

func (w *world) User(_ context.Context, address string) (ooo.User, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.user(ooo.FoldAddress(address))
}

func (w *world) user(folded string) (ooo.User, error) {
	wish := w.wishes[folded]
	switch u, known := w.users[folded]; {
	case w.err != nil:
		return ooo.User{}, w.err
	case !wish.On:
		return ooo.User{}, ooo.ErrNotMonitored
	case known:
		return u, nil
	}
	return ooo.PendingUser(wish.Address, wish.Person), nil
}

func (w *world) Users(_ context.Context, limit int, cursor string) ([]ooo.User, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []ooo.User
	for folded := range w.wishes {
		if u, err := w.user(folded); err == nil && u.Spelling > cursor {
			all = append(all, u)
		}
	}
	slices.SortFunc(all, func(a, b ooo.User) int { return strings.Compare(a.Spelling, b.Spelling) })
	if len(all) > limit {
		return all[:limit], all[limit-1].Spelling, w.err
	}
	return all, "", w.err
}

func (w *world) History(_ context.Context, address string, limit int) ([]ooo.Event, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = limit
	_, err := w.user(ooo.FoldAddress(address))
	return w.events, err
}

func (w *world) leave(_ context.Context, hints ...ooo.Hint) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.hints = append(w.hints, hints...)
	}
	return w.err
}

// left returns the hints as "kind id subject", those of wishes that were written too.
func (w *world) left() (hints []string) {
	for _, h := range w.hints {
		hints = append(hints, strings.TrimSpace(string(h.Kind)+" "+string(h.ID)+" "+h.Subject))
	}
	return hints
}

func (w *world) wait(name string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waits[name]
}

func (w *world) setWait(_ context.Context, name string, d time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits[name] = d
	return nil
}

func (w *world) Find(_ context.Context, address string) (ooo.Person, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookups++
	person, ok := w.directory[strings.ToLower(address)]
	if w.finding == nil && !ok {
		return person, ooo.ErrNotInDirectory
	}
	return person, w.finding
}

var errAway = errors.New("redis: connection refused")

// handler is the API over w.
func handler(t *testing.T, w *world) http.Handler { return over(t, w, w, w) }

// wishesAndUsers is the store as the API uses it.
type wishesAndUsers interface {
	api.Wishes
	api.Users
}

// over is the API over a store and a directory that need not be w.
func over(t *testing.T, w *world, store wishesAndUsers, directory api.Directory) http.Handler {
	t.Helper()
	_, engine := w.open(t, store, directory)
	return engine
}

func (w *world) open(t *testing.T, store wishesAndUsers, directory api.Directory) (*api.API, *gin.Engine) {
	t.Helper()
	a, err := api.New(api.Config{
		Wishes: store, Users: store, Leave: w.leave, Directory: directory, Wait: w.wait, SetWait: w.setWait, Sync: w.sync, Checks: w.checks,
		RequestSync: func() { w.set(func() { w.owed++ }) }, Ready: func() bool { return !w.unready }, Level: w.level, Log: w.log,
		Access:  server.NewAccess(server.AccessConfig{Token: w.token, AnyHost: !w.loopback, Wrong: func() {}, Log: w.log}),
		Metrics: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "metrics") }),
	})
	if err != nil {
		t.Fatal(err)
	}
	engine := api.NewEngine(w.log)
	a.Register(engine)
	return a, engine
}

// serve runs the API and returns its base URL.
func serve(t *testing.T, w *world) string {
	t.Helper()
	srv := httptest.NewServer(handler(t, w))
	t.Cleanup(srv.Close)
	return srv.URL
}

// request is one call with what is said in its headers.
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

func putJSON(path, body string) request {
	r := postJSON(path, body)
	r.method = http.MethodPut
	return r
}

// ask calls a handler without a network.
func (r request) ask(handler http.Handler) (answer *httptest.ResponseRecorder, body string) {
	q := httptest.NewRequest(r.method, r.path, strings.NewReader(r.body))
	for name, value := range r.header {
		q.Header.Set(name, value)
	}
	answer = httptest.NewRecorder()
	handler.ServeHTTP(answer, q)
	return answer, answer.Body.String()
}

func (r request) send(t *testing.T, base string) (*http.Response, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), r.method, base+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range r.header {
		q.Header.Set(name, value)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}
