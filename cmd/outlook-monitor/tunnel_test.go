package main_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/redistest"
)

// useAgent makes the program use a fake of the local API of an ngrok agent, at first without a
// tunnel. setTunnel sets the tunnel from a public URL to the program; empty: none.
func (tb *testbed) useAgent() (setTunnel func(public string)) {
	var tunnels atomic.Pointer[string] // JSON
	tunnels.Store(new(""))
	agent := programtest.Serve(tb.t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"tunnels":[%s]}`, *tunnels.Load())
	}))
	tb.env["TUNNEL"], tb.env["NGROK_AGENT_URL"], tb.env["PUBLIC_URL"] = "agent", agent, ""
	return func(public string) {
		if public == "" {
			tunnels.Store(&public)
			return
		}
		tunnels.Store(new(fmt.Sprintf(`{"name":"web","public_url":%q,"proto":"https","config":{"addr":"http://%s"}}`,
			public, tb.env["LISTEN_ADDR"])))
	}
}

// coveredBy reports whether each user has one live subscription with a URL below base.
func (l *workload) coveredBy(base string) bool {
	elsewhere := func(sub graphsim.Subscription) bool { return !strings.HasPrefix(sub.NotificationURL, base+"/") }
	return !slices.ContainsFunc(l.sim.Subscriptions(), elsewhere) && l.coveredOnce()
}

func TestSubscriptionsFollowAgentTunnel(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 40})
	setTunnel, listen, private := tb.useAgent(), tb.env["LISTEN_ADDR"], programtest.FreeAddress(t)
	tb.base = "http://" + private
	tb.mediator.SetMonitorURL(tb.base)
	tb.env["PRIVATE_ADDR"] = private
	load := newWorkload(tb, 5)
	p := tb.start("serve")
	load.waitDelivered() // by the poll
	if got := tb.sim.Subscriptions(); len(got) > 0 {
		t.Fatalf("%d subscriptions without a tunnel, want none", len(got))
	}
	if _, answer := tb.get("/readyz"); !strings.Contains(answer, "the tunnel is not open: the log says why") {
		t.Errorf("readyz = %s, want the tunnel's state", answer)
	}
	_, port, _ := strings.Cut(listen, ":")
	if want := "ngrok http " + port; !strings.Contains(p.log.String(), want) {
		t.Errorf("log lacks %q", want)
	}

	setTunnel("http://" + listen)
	load.eventually("all subscriptions have the tunnel's URL", func() bool { return load.coveredBy("http://" + listen) })
	created := func() int64 { return tb.sim.Stats().Calls["subscription-create"]["201"] }
	before := created()
	load.change()
	load.waitDelivered()

	moved := "http://localhost:" + port
	setTunnel(moved)
	load.eventually("all subscriptions have the new URL", func() bool { return load.coveredBy(moved) })
	if n := created() - before; n != 0 {
		t.Errorf("%d subscriptions created, want the existing ones patched", n)
	}
	load.change()
	load.waitDelivered()
	if _, answer := tb.get("/readyz"); !strings.Contains(answer, moved) {
		t.Errorf("readyz = %s, want the new URL", answer)
	}
	setTunnel("")
	load.eventually("readyz reports that the tunnel is gone", func() bool {
		_, answer := tb.get("/readyz")
		return strings.Contains(answer, "the tunnel is not open: the log says why")
	})
	if !load.coveredBy(moved) {
		t.Error("subscriptions do not keep the last URL: the tunnel may open with it again")
	}
	p.stop()
}

func TestTunnelExposesOnlyGraphPaths(t *testing.T) {
	tb := newTestbed(t, "", graphsim.Config{Seed: 41})
	const public = "https://monitor.ngrok.example"
	tb.useAgent()(public)
	tb.env["MONITOR_TOKEN"] = "the-token-of-this-test"
	token := tb.env["MONITOR_TOKEN"]
	ask := func(host, method, path string) (status int, answer string) {
		request, err := http.NewRequestWithContext(t.Context(), method, tb.base+path, nil)
		must.NoError(t, err)
		request.Host = host
		if token != "" {
			request.SetBasicAuth("mediator", token)
		}
		return programtest.Send(http.DefaultClient, request)
	}
	through := func(method, path string) int {
		status, _ := ask("monitor.ngrok.example", method, path)
		return status
	}
	p := tb.startReady()
	tb.eventually("the tunnel is known", func() bool { // only authenticated requests get details
		_, answer := ask("", http.MethodGet, "/readyz")
		return strings.Contains(answer, public)
	})
	for _, path := range []string{"/", "/api/users", "/metrics", "/healthz", "/monitor", "/graph/notifications/"} {
		if status, answer := ask("monitor.ngrok.example", http.MethodGet, path); status != http.StatusNotFound || answer != `{"error":"no such path"}` {
			t.Errorf("GET %s through the tunnel = %d %s, want 404", path, status, answer)
		}
	}
	if status := through(http.MethodPost, "/graph/notifications?validationToken=x"); status != http.StatusOK {
		t.Errorf("handshake through the tunnel = %d, want 200", status)
	}
	p.stop()

	tb.env["TUNNEL_EXPOSE"] = "all"
	p = tb.startReady()
	tb.eventually("the API is reachable through the tunnel", func() bool { return through(http.MethodGet, "/api/users") == http.StatusOK })
	if want := "the internet reaches the private paths through the tunnel"; !strings.Contains(p.log.String(), want) {
		t.Errorf("log lacks %q", want)
	}
	token = ""
	for _, route := range []string{"GET /", "POST /monitor", "GET /api/users", "PUT /api/users/ann@contoso.example", "DELETE /api/users/ann@contoso.example",
		"GET /api/openapi.json", "PUT /api/loglevel", "GET /debug/pprof/heap", "GET /metrics", "GET /ui/", "GET /ui/api/users", "GET /ui/api/feed"} {
		if method, path, _ := strings.Cut(route, " "); through(method, path) != http.StatusUnauthorized {
			t.Errorf("%s through the tunnel without the token is not answered 401", route)
		}
	}
	if _, answer := ask("monitor.ngrok.example", http.MethodGet, "/readyz"); strings.Contains(answer, public) {
		t.Errorf("readyz without the token = %s, want no details", answer)
	}
}
