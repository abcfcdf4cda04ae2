// Package graphtest runs the local Graph in tests, which fail if it rejects what they set.
package graphtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/must"
)

// Graph is a local Graph. Its methods fail the test where those of its Server return an error.
type Graph struct {
	*graphsim.Server
	T testing.TB // the test that fails
}

// Start starts a local Graph that runs until the test ends.
func Start(t testing.TB, cfg graphsim.Config) Graph {
	t.Helper()
	g := Graph{T: t}
	var err error
	g.Server, err = graphsim.New(cfg)
	g.Must(err)
	await.Run(t, g.Run)
	return g
}

// Must fails the test if there is an error.
func (g Graph) Must(err error) {
	g.T.Helper()
	must.NoError(g.T, err)
}

// AddUser adds a user.
func (g Graph) AddUser(u graphsim.User) graphsim.User {
	g.T.Helper()
	added, err := g.Server.AddUser(u)
	g.Must(err)
	return added
}

// AddUsers adds user0001@contoso.example and so on.
func (g Graph) AddUsers(count int) []graphsim.User {
	g.T.Helper()
	added, err := g.Server.AddUsers(count, "contoso.example")
	g.Must(err)
	return added
}

// Covered counts the live subscriptions by object id of the user.
func (g Graph) Covered() map[string]int {
	n := map[string]int{}
	for _, sub := range g.Subscriptions() {
		n[sub.UserID]++
	}
	return n
}

// SetReplies changes the automatic replies of a user, by object id or user principal name.
func (g Graph) SetReplies(user string, update graphsim.AutomaticRepliesUpdate) {
	g.T.Helper()
	_, err := g.SetAutomaticReplies(user, update)
	g.Must(err)
}

// SetFault makes Graph misbehave.
func (g Graph) SetFault(f graphsim.Fault) {
	g.T.Helper()
	_, err := g.Server.SetFault(f)
	g.Must(err)
}

// Token logs in to a local Graph at the URL of its token endpoint.
func Token(client *http.Client, endpoint, graph, id, secret string) (string, error) {
	answer, err := client.PostForm(endpoint, url.Values{
		"grant_type": {"client_credentials"}, "scope": {graph + "/.default"}, "client_id": {id}, "client_secret": {secret},
	})
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var login struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&login); err != nil || login.Token == "" {
		return "", fmt.Errorf("login = %d, %v, want a token", answer.StatusCode, err)
	}
	return login.Token, nil
}
