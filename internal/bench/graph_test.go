package bench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
)

// graphParams configures the local Graph.
type graphParams struct {
	Users       int
	AppRequests int // 0: Graph's quota
}

// graphInfo says how to reach the local Graph.
type graphInfo struct{ URL, Control, CA, Tenant string }

const domain = "contoso.example"

// runGraph runs the local Graph.
func runGraph(params []byte, report func(any), stopped <-chan struct{}) error {
	var o graphParams
	if err := json.Unmarshal(params, &o); err != nil {
		return err
	}
	sim, err := graphsim.New(graphsim.Config{Seed: 30, AppRequests: o.AppRequests})
	if err != nil {
		return err
	}
	debug.SetGCPercent(400) // saves CPU time on the shared cores
	if _, err := sim.AddUsers(o.Users, domain); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { err = sim.Run(ctx) })
	report(graphInfo{sim.URL(), sim.ControlURL(), string(sim.CAPEM()), sim.TenantID()})
	<-stopped
	stop()
	running.Wait()
	return err
}

// graph is a client of the local Graph process.
type graph struct {
	*child
	graphInfo
	t     testing.TB
	users []graphsim.User
}

func startGraph(t testing.TB, o graphParams) *graph {
	t.Helper()
	g := &graph{t: t}
	g.child = startRole(t, "graph", o, &g.graphInfo)
	var answer struct{ Users []graphsim.User }
	g.call(http.MethodGet, "/users", nil, &answer)
	g.users = answer.Users
	return g
}

// call sends a request to the control API.
func (g *graph) call(method, path string, body, answer any) {
	g.t.Helper()
	if err := g.tryCall(method, path, body, answer); err != nil {
		g.t.Fatal(err)
	}
}

func (g *graph) tryCall(method, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(method, g.Control+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err = io.ReadAll(response.Body)
	if err != nil || response.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s = %d %s, %v", method, path, response.StatusCode, text, err)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
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

// client is used for all plain HTTP requests.
var client = &http.Client{Transport: &http.Transport{
	MaxIdleConns: 1000, MaxIdleConnsPerHost: 1000, DisableCompression: true,
}}
