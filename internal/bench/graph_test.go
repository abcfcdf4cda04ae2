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

// graphOrder is what the local Graph is to be.
type graphOrder struct {
	Users       int
	AppRequests int // 0: Graph's own quota
}

// graphPlace is where it is found.
type graphPlace struct{ URL, Control, CA, Tenant string }

const domain = "contoso.example"

// playGraph is the local Graph as a process of its own.
func playGraph(order []byte, tell func(any), stopped <-chan struct{}) error {
	var o graphOrder
	if err := json.Unmarshal(order, &o); err != nil {
		return err
	}
	sim, err := graphsim.New(graphsim.Config{Seed: 30, AppRequests: o.AppRequests})
	if err != nil {
		return err
	}
	debug.SetGCPercent(400) // it has little memory and shares the cores with what is measured
	if _, err := sim.AddUsers(o.Users, domain); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { err = sim.Run(ctx) })
	tell(graphPlace{sim.URL(), sim.ControlURL(), string(sim.CAPEM()), sim.TenantID()})
	<-stopped
	stop()
	running.Wait()
	return err
}

// graph is the local Graph, seen from here.
type graph struct {
	*child
	graphPlace
	t     testing.TB
	users []graphsim.User
}

func startGraph(t testing.TB, o graphOrder) *graph {
	t.Helper()
	g := &graph{t: t}
	g.child = cast(t, "graph", o, &g.graphPlace)
	var answer struct{ Users []graphsim.User }
	g.ask(http.MethodGet, "/users", nil, &answer)
	g.users = answer.Users
	return g
}

// ask makes a request of the control API.
func (g *graph) ask(method, path string, body, answer any) {
	g.t.Helper()
	if err := g.try(method, path, body, answer); err != nil {
		g.t.Fatal(err)
	}
}

func (g *graph) try(method, path string, body, answer any) error {
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
	g.ask(http.MethodGet, "/stats", nil, &s)
	return s
}

func (g *graph) resetStats() { g.t.Helper(); g.ask(http.MethodPost, "/stats/reset", nil, nil) }

// delay makes each answer come so much later; 0 ends that.
func (g *graph) delay(d time.Duration) {
	g.t.Helper()
	g.ask(http.MethodDelete, "/faults", nil, nil)
	if d > 0 {
		g.ask(http.MethodPost, "/faults", graphsim.Fault{Operation: "all", Kind: "latency", Delay: graphsim.Duration(d)}, nil)
	}
}

// reply makes a user's automatic replies say text.
func (g *graph) reply(id, text string) error {
	return g.try(http.MethodPut, "/users/"+id+"/automaticReplies",
		graphsim.AutomaticRepliesUpdate{Status: new("alwaysEnabled"), ExternalReplyMessage: &text}, nil)
}

func reads(s graphsim.Stats) float64 { return float64(s.Calls["read"]["200"]) }

// client asks whoever is asked here over plain HTTP.
var client = &http.Client{Transport: &http.Transport{
	MaxIdleConns: 1000, MaxIdleConnsPerHost: 1000, DisableCompression: true,
}}
