package graph_test

import (
	"context"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/graphtest"
	"outlook-monitor/internal/ooo"
)

// env is a local Graph and the configuration of its clients.
type env struct {
	graphtest.Graph
	config graph.Config
}

// newEnv starts a local Graph that runs until the test ends.
func newEnv(t testing.TB, cfg graphsim.Config) *env {
	t.Helper()
	g := graphtest.Start(t, cfg)
	return &env{g, graph.Config{
		Endpoint: g.URL(), AuthorityHost: g.URL(), RootCAs: g.Roots(),
		TenantID: g.TenantID(), ClientID: graphsim.DefaultClientID, ClientSecret: graphsim.DefaultClientSecret,
	}}
}

// newEnvWithUsers starts a local Graph with users, see users, and returns a client that
// renews its token.
func newEnvWithUsers(t testing.TB, count int) (*env, *graph.Client, []ooo.ObjectID) {
	t.Helper()
	e := newEnv(t, graphsim.Config{})
	return e, e.runClient(), e.users(count)
}

// runClient returns a client that renews its token.
func (e *env) runClient() *graph.Client {
	e.T.Helper()
	c := e.newClient(e.config)
	await.Run(e.T, c.Run)
	return c
}

// newClient returns a client whose Run is not called.
func (e *env) newClient(cfg graph.Config) *graph.Client {
	e.T.Helper()
	c, err := graph.New(cfg)
	e.Must(err)
	return c
}

func (e *env) user(u graphsim.User) ooo.ObjectID {
	e.T.Helper()
	return ooo.ObjectID(e.AddUser(u).ID)
}

// users adds users whose replies are on, each with its own text, and returns their ids.
func (e *env) users(count int) []ooo.ObjectID {
	e.T.Helper()
	ids := make([]ooo.ObjectID, count)
	for i, u := range e.AddUsers(count) {
		ids[i] = ooo.ObjectID(u.ID)
		e.SetReplies(u.ID, graphsim.AutomaticRepliesUpdate{Status: new("alwaysEnabled"), ExternalReplyMessage: new("I am " + u.ID)})
	}
	return ids
}

// calls returns how many calls of an operation the local Graph has received.
func (e *env) calls(operation string) (sum int64) {
	for _, n := range e.Stats().Calls[operation] {
		sum += n
	}
	return sum
}

// operations has a call of each kind. They need two ids or more, the address of the first
// user, and the id of a subscription.
func operations(ctx context.Context, c *graph.Client, ids []ooo.ObjectID, address, hook string, id ooo.SubscriptionID) map[string]func() error {
	return map[string]func() error{
		"Read of one": func() error { return c.Read(ctx, ids[:1], nil)[0].Err },
		"Read":        func() error { return c.Read(ctx, ids, nil)[len(ids)-1].Err },
		"Find":        func() error { _, err := c.Find(ctx, address); return err },
		"CreateSubscription": func() error {
			_, err := c.CreateSubscription(ctx, subscriptionRequest(ids[0], hook, time.Hour))
			return err
		},
		"PatchSubscription": func() error {
			_, err := c.PatchSubscription(ctx, id, ooo.SubscriptionRequest{ExpiresAt: time.Now().Add(time.Hour)})
			return err
		},
		"DeleteSubscription": func() error { return c.DeleteSubscription(ctx, id) },
		"SubscriptionPage":   func() error { _, _, err := c.SubscriptionPage(ctx, ""); return err },
	}
}

// stubOperations are operations for a stub.
func stubOperations(ctx context.Context, c *graph.Client) map[string]func() error {
	return operations(ctx, c, []ooo.ObjectID{"8c1d", "8c1e"}, "user0001@contoso.example", "https://hook.example", "1")
}
