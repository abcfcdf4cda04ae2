package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/redistest"
)

// ngrokAgent is a fake of the local API of an ngrok agent, at first without a tunnel.
type ngrokAgent struct {
	*httptest.Server
	tunnels atomic.Pointer[string] // JSON
}

func startAgent(t *testing.T) *ngrokAgent {
	t.Helper()
	a := &ngrokAgent{}
	a.tunnels.Store(new(""))
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"tunnels":[%s]}`, *a.tunnels.Load())
	}))
	t.Cleanup(a.Close)
	return a
}

// setTunnel sets the tunnel from a public URL to an address.
func (a *ngrokAgent) setTunnel(public, address string) {
	a.tunnels.Store(new(fmt.Sprintf(`{"name":"web","public_url":%q,"proto":"https","config":{"addr":"http://%s"}}`, public, address)))
}

// coveredBy reports whether each user has one live subscription with a URL below base.
func (l *workload) coveredBy(base string) bool {
	for _, sub := range l.sim.Subscriptions() {
		if !strings.HasPrefix(sub.NotificationURL, base+"/") {
			return false
		}
	}
	return l.coveredOnce()
}

// subscriptions returns the ids of the live subscriptions.
func (tb *testbed) subscriptions() (ids []string) {
	for _, sub := range tb.sim.Subscriptions() {
		ids = append(ids, sub.ID)
	}
	slices.Sort(ids)
	return ids
}

func TestSubscriptionsFollowAgentTunnel(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 40})
	agent, listen, private := startAgent(t), tb.env["LISTEN_ADDR"], programtest.FreeAddress(t)
	tb.base = "http://" + private
	tb.mediator.SetMonitorURL(tb.base)
	tb.env["TUNNEL"], tb.env["NGROK_AGENT_URL"], tb.env["PUBLIC_URL"], tb.env["PRIVATE_ADDR"] = "agent", agent.URL, "", private
	load := newWorkload(tb, 5)
	p := tb.start("serve")
	load.waitDelivered() // by the poll
	if got := tb.sim.Subscriptions(); len(got) > 0 {
		t.Fatalf("%d subscriptions without a tunnel, want none", len(got))
	}
	if _, answer := tb.get("/readyz"); !strings.Contains(answer, "the tunnel is not open yet") {
		t.Errorf("readyz = %s, want the tunnel's state", answer)
	}
	_, port, _ := strings.Cut(listen, ":")
	if want := "ngrok http " + port; !strings.Contains(p.log.String(), want) {
		t.Errorf("log lacks %q", want)
	}

	agent.setTunnel("http://"+listen, listen)
	load.eventually("all subscriptions have the tunnel's URL", func() bool { return load.coveredBy("http://" + listen) })
	ids := tb.subscriptions()
	load.change()
	load.waitDelivered()

	moved := "http://localhost:" + port
	agent.setTunnel(moved, listen)
	load.eventually("all subscriptions have the new URL", func() bool { return load.coveredBy(moved) })
	if got := tb.subscriptions(); !slices.Equal(got, ids) {
		t.Errorf("subscriptions = %q, want the existing ones patched: %q", got, ids)
	}
	load.change()
	load.waitDelivered()
	if _, answer := tb.get("/readyz"); !strings.Contains(answer, moved) {
		t.Errorf("readyz = %s, want the new URL", answer)
	}
	p.stop()
}

func TestTunnelExposesOnlyGraphPaths(t *testing.T) {
	tb := newTestbed(t, "", graphsim.Config{Seed: 41})
	agent := startAgent(t)
	const public = "https://monitor.ngrok.example"
	agent.setTunnel(public, tb.env["LISTEN_ADDR"])
	tb.env["TUNNEL"], tb.env["NGROK_AGENT_URL"], tb.env["PUBLIC_URL"], tb.env["MONITOR_TOKEN"] = "agent", agent.URL, "", "the-token"
	ask := func(host, method, path string) (status int, answer string) {
		request, err := http.NewRequestWithContext(t.Context(), method, tb.base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		request.SetBasicAuth("mediator", "the-token")
		return send(request)
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
	tb.startReady()
	tb.eventually("the API is reachable through the tunnel", func() bool { return through(http.MethodGet, "/api/users") == http.StatusOK })
}
