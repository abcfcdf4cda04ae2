package graph_test

import (
	"context"
	"crypto/x509"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

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
	await.Run(t, s.Run)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CAPEM())
	w := &world{Server: s, t: t, seen: &calls{count: make(map[string]map[int]int)}}
	w.config = graph.Config{
		Endpoint: s.URL(), AuthorityHost: s.URL(), RootCAs: roots, Observe: w.seen.add,
		TenantID: s.TenantID(), ClientID: graphsim.DefaultClientID, ClientSecret: graphsim.DefaultClientSecret,
	}
	return w
}

// client returns a client with a token keeper, as the service runs it.
func (w *world) client() *graph.Client {
	w.t.Helper()
	c := w.idleClient(w.config)
	await.Run(w.t, c.Run)
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
		w.reply(ids[i], "I am "+u.ID)
	}
	return ids
}

// reply turns a user's replies on, with a text.
func (w *world) reply(id ooo.ObjectID, text string) {
	w.t.Helper()
	w.change(id, graphsim.AutomaticRepliesUpdate{Status: new("alwaysEnabled"), ExternalReplyMessage: &text})
}

func (w *world) change(id ooo.ObjectID, u graphsim.AutomaticRepliesUpdate) {
	w.t.Helper()
	if _, err := w.SetAutomaticReplies(string(id), u); err != nil {
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

// acts has a call of each kind, about two mailboxes or more, the user of the first, and a
// subscription.
func acts(ctx context.Context, c *graph.Client, ids []ooo.ObjectID, user, hook string, id ooo.SubscriptionID) map[string]func() error {
	return map[string]func() error{
		"Read of one": func() error { return c.Read(ctx, ids[:1], nil)[0].Err },
		"Read":        func() error { return c.Read(ctx, ids, nil)[len(ids)-1].Err },
		"Find":        func() error { _, err := c.Find(ctx, user); return err },
		"CreateSubscription": func() error {
			_, err := c.CreateSubscription(ctx, wanted(ids[0], hook, time.Hour))
			return err
		},
		"PatchSubscription": func() error {
			_, err := c.PatchSubscription(ctx, id, ooo.SubscriptionRequest{ExpiresAt: time.Now().Add(time.Hour)})
			return err
		},
		"DeleteSubscription": func() error { return c.DeleteSubscription(ctx, id) },
		"SubscriptionPages": func() error {
			for _, err := range c.SubscriptionPages(ctx) {
				return err // of the first page
			}
			return nil
		},
	}
}

// stubActs are acts for a stub.
func stubActs(t *testing.T, c *graph.Client) map[string]func() error {
	return acts(t.Context(), c, []ooo.ObjectID{"8c1d", "8c1e"}, "user0001@contoso.example", "https://hook.example", "1")
}
