package graph_test

import (
	"context"
	"crypto/x509"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

// patience is how long a condition may take to come true.
const patience = 30 * time.Second

// world is a local Graph and what is needed to log in to it.
type world struct {
	*graphsim.Server
	t      testing.TB
	config graph.Config
	seen   *calls
}

// newWorld starts a local Graph; it ends with the test.
func newWorld(t testing.TB, cfg graphsim.Config) *world {
	t.Helper()
	s, err := graphsim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	run(t, "graphsim", s.Run)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CAPEM())
	w := &world{Server: s, t: t, seen: &calls{count: make(map[string]map[int]int)}}
	w.config = graph.Config{
		Endpoint: s.URL(), AuthorityHost: s.URL(), RootCAs: roots, Observe: w.seen.add,
		TenantID: s.TenantID(), ClientID: graphsim.DefaultClientID, ClientSecret: graphsim.DefaultClientSecret,
	}
	return w
}

// run runs something until the test ends and expects it to end well.
func run(t testing.TB, name string, what func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- what(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("%s: Run = %v, want nil", name, err)
			}
		case <-time.After(patience):
			t.Errorf("%s: Run did not end", name)
		}
	})
}

// client returns a client with a token keeper, as the service runs it.
func (w *world) client() *graph.Client {
	w.t.Helper()
	c := w.idleClient(w.config)
	run(w.t, "graph", c.Run)
	return c
}

// idleClient returns a client without one.
func (w *world) idleClient(cfg graph.Config) *graph.Client {
	w.t.Helper()
	c, err := graph.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) user(upn string) ooo.ObjectID {
	w.t.Helper()
	return w.add(graphsim.User{UserPrincipalName: upn})
}

func (w *world) add(u graphsim.User) ooo.ObjectID {
	w.t.Helper()
	made, err := w.AddUser(u)
	if err != nil {
		w.t.Fatal(err)
	}
	return ooo.ObjectID(made.ID)
}

// users makes as many users, each with its own reply, and returns their ids.
func (w *world) users(count int) []ooo.ObjectID {
	w.t.Helper()
	made, err := w.AddUsers(count, "contoso.example")
	if err != nil {
		w.t.Fatal(err)
	}
	ids := make([]ooo.ObjectID, count)
	for i, u := range made {
		ids[i] = ooo.ObjectID(u.ID)
		w.reply(u.ID, "I am "+u.ID)
	}
	return ids
}

func (w *world) reply(id, text string) {
	w.t.Helper()
	if _, err := w.SetAutomaticReplies(id, graphsim.AutomaticRepliesUpdate{
		Status: new("alwaysEnabled"), ExternalReplyMessage: &text}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) fault(f graphsim.Fault) {
	w.t.Helper()
	if _, err := w.SetFault(f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) mailbox(id ooo.ObjectID, m graphsim.Mailbox) {
	w.t.Helper()
	if err := w.SetMailbox(string(id), m); err != nil {
		w.t.Fatal(err)
	}
}

// calls counts what a client observed.
type calls struct {
	mu    sync.Mutex
	count map[string]map[int]int // by operation and status
}

func (c *calls) add(operation string, status int, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count[operation] == nil {
		c.count[operation] = make(map[int]int)
	}
	c.count[operation][status]++
}

func (c *calls) of(operation string, status int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count[operation][status]
}

func (c *calls) all(operation string) (sum int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.count[operation] {
		sum += n
	}
	return sum
}

// until waits for something to come true.
func until(t testing.TB, what string, true func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !true(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come true", what)
		}
	}
}
