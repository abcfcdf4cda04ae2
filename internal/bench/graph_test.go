package bench_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime/debug"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
)

// graphInfo says how to reach the local Graph.
type graphInfo struct{ URL, Control, CA, Tenant string }

// runGraph runs the local Graph with some users.
func runGraph(ctx context.Context, users int, report func(any)) error {
	sim, err := graphsim.New(graphsim.Config{Seed: 30})
	if err != nil {
		return err
	}
	debug.SetGCPercent(400) // saves CPU time on the shared cores
	if _, err := sim.AddUsers(users, "contoso.example"); err != nil {
		return err
	}
	report(graphInfo{sim.URL(), sim.ControlURL(), string(sim.CAPEM()), sim.TenantID()})
	return sim.Run(ctx)
}

// graph is a client of the local Graph process.
type graph struct {
	*programtest.Process
	graphInfo
	t     testing.TB
	users []graphsim.User
}

func startGraph(t testing.TB, users int) *graph {
	t.Helper()
	g := &graph{t: t}
	g.Process = startRole(t, "graph", users, &g.graphInfo)
	var answer struct{ Users []graphsim.User }
	g.call(http.MethodGet, "/users", nil, &answer)
	g.users = answer.Users
	return g
}

// call sends a request to the control API.
func (g *graph) call(method, path string, body, answer any) {
	g.t.Helper()
	must.NoError(g.t, g.tryCall(method, path, body, answer))
}

func (g *graph) tryCall(method, path string, body, answer any) error {
	status, text := send(method, g.Control+path, encode(g.t, body))
	if status/100 != 2 {
		return fmt.Errorf("%s %s = %d %s", method, path, status, text)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal([]byte(text), answer)
}

func (g *graph) stats() (s graphsim.Stats) {
	g.t.Helper()
	g.call(http.MethodGet, "/stats", nil, &s)
	return s
}

func (g *graph) resetStats() { g.t.Helper(); g.call(http.MethodPost, "/stats/reset", nil, nil) }

// delay delays all answers by d.
func (g *graph) delay(d time.Duration) {
	g.t.Helper()
	g.call(http.MethodDelete, "/faults", nil, nil)
	if d > 0 {
		g.call(http.MethodPost, "/faults", graphsim.Fault{Operation: "all", Kind: "latency", Delay: graphsim.Duration(d)}, nil)
	}
}

// setReply enables a user's automatic replies with a text.
func (g *graph) setReply(id, text string) error {
	return g.tryCall(http.MethodPut, "/users/"+id+"/automaticReplies",
		graphsim.AutomaticRepliesUpdate{Status: new("alwaysEnabled"), ExternalReplyMessage: &text}, nil)
}

func reads(s graphsim.Stats) float64 { return float64(s.Calls["read"]["200"]) }
