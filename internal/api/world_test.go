package api_test

import (
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

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/ooo"
)

// world is the store and the directory in memory.
type world struct {
	mu        sync.Mutex
	users     map[ooo.Key]ooo.User // guarded by mu, as all below
	directory map[string]ooo.Person
	finding   error // of every look-up; nil: by directory
	err       error // of every call of the store
	lookups   int
	paused    time.Time
	starts    []string
	marks     []ooo.Mark
	resent    []ooo.Key
	late      []ooo.Key // stops that were carried out late
	events    []ooo.Event
	asked     int // the limit of the last history
	sync      func(context.Context) error
	log       *slog.Logger
	checks    []api.Check
	token     string
	unready   bool
}

func newWorld() *world {
	return &world{
		users: map[ooo.Key]ooo.User{}, directory: map[string]ooo.Person{}, log: slog.New(slog.DiscardHandler),
		sync: func(context.Context) error { return nil },
	}
}

// add monitors an address that is found.
func (w *world) add(address string) {
	key := ooo.KeyOf(address)
	w.users[key] = ooo.User{Key: key, Address: address, Active: true, Condition: ooo.Watching, Person: ooo.Person{ID: "id-" + ooo.ObjectID(key)},
		Delivery: ooo.Delivery{State: ooo.DeliveryNone}}
}

func (w *world) User(_ context.Context, key ooo.Key) (ooo.User, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u, ok := w.users[key]
	if w.err == nil && !ok {
		return u, ooo.ErrNotMonitored
	}
	return u, w.err
}

func (w *world) Users(_ context.Context, limit int, cursor string) ([]ooo.User, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []ooo.User
	for _, u := range w.users {
		if u.Address > cursor {
			all = append(all, u)
		}
	}
	slices.SortFunc(all, func(a, b ooo.User) int { return strings.Compare(a.Address, b.Address) })
	if len(all) > limit {
		return all[:limit], all[limit-1].Address, w.err
	}
	return all, "", w.err
}

func (w *world) Start(_ context.Context, address string, person ooo.Person) (ooo.Started, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return ooo.Started{}, w.err
	}
	w.starts = append(w.starts, address)
	key := ooo.KeyOf(address)
	u, already := w.users[key]
	u.Key, u.Address, u.Active, u.Condition = key, address, true, ooo.Pending
	if person.ID != "" {
		u.Person = person
	}
	if !already {
		u.Delivery.State = ooo.DeliveryNone
	}
	w.users[key] = u
	return ooo.Started{Key: key, Already: already, Found: u.Person.ID != "", User: u}, nil
}

func (w *world) StartAll(ctx context.Context, addresses []string) error {
	for _, address := range addresses {
		if _, err := w.Start(ctx, address, ooo.Person{}); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) Stop(_ context.Context, key ooo.Key) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.users[key]; w.err == nil && !ok {
		return ooo.ErrNotMonitored
	}
	if w.err == nil {
		delete(w.users, key)
	}
	return w.err
}

func (w *world) StopBefore(ctx context.Context, key ooo.Key, at time.Time) error {
	w.mu.Lock()
	w.late = append(w.late, key)
	w.mu.Unlock()
	return w.Stop(ctx, key)
}

func (w *world) Named(_ context.Context, keys []ooo.Key) (users []ooo.User, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, key := range keys {
		if u, ok := w.users[key]; ok {
			users = append(users, u)
		}
	}
	return users, w.err
}

func (w *world) Mark(_ context.Context, q ooo.Queue, marks ...ooo.Mark) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if q == ooo.ReadQueue {
		w.marks = append(w.marks, marks...)
	}
	return len(marks), w.err
}

func (w *world) Pause(_ context.Context, _ string, until time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paused = until
	return nil
}

func (w *world) Paused(context.Context, string) (time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.paused, nil
}

func (w *world) Resend(_ context.Context, key ooo.Key) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resent = append(w.resent, key)
	return w.err
}

func (w *world) History(_ context.Context, _ ooo.Key, limit int) ([]ooo.Event, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = limit
	return w.events, w.err
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

// over is the API over a store and a directory that need not be w.
func over(t *testing.T, w *world, store api.Store, directory api.Directory) http.Handler {
	t.Helper()
	a, err := api.New(api.Config{
		Store: store, Directory: directory, Sync: w.sync, Checks: w.checks, Token: w.token, Log: w.log,
		Metrics: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "metrics") }),
	})
	if err != nil {
		t.Fatal(err)
	}
	engine := api.NewEngine(w.log)
	a.Register(engine)
	return engine
}

// serve runs the API and returns its base URL.
func serve(t *testing.T, w *world) string {
	t.Helper()
	server := httptest.NewServer(handler(t, w))
	t.Cleanup(server.Close)
	return server.URL
}

// request is one call with what is said in its headers.
type request struct {
	method, path, body string
	header             map[string]string
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
