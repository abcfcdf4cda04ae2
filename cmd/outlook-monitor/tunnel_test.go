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

// ngrokAgent plays the local API of an ngrok agent, and its tunnel by being on
// the same machine. It starts with no tunnel.
type ngrokAgent struct {
	*httptest.Server
	listing atomic.Pointer[string]
}

func startAgent(t *testing.T) *ngrokAgent {
	t.Helper()
	a := &ngrokAgent{}
	a.listing.Store(new(""))
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"tunnels":[%s]}`, *a.listing.Load())
	}))
	t.Cleanup(a.Close)
	return a
}

// leads has the agent lead from a public URL to an address.
func (a *ngrokAgent) leads(public, address string) {
	a.listing.Store(new(fmt.Sprintf(`{"name":"web","public_url":%q,"proto":"https","config":{"addr":"http://%s"}}`, public, address)))
}

func TestSubscriptionsFollowTheTunnelOfAnAgent(t *testing.T) {
	t.Parallel()
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 40})
	agent, listen, private := startAgent(t), w.env["LISTEN_ADDR"], programtest.FreeAddress(t)
	w.base = "http://" + private
	w.mediator.SetMonitorURL(w.base)
	w.env["TUNNEL"], w.env["NGROK_AGENT_URL"], w.env["PUBLIC_URL"], w.env["PRIVATE_ADDR"] = "agent", agent.URL, "", private
	c := newCrowd(w, 5)
	p := w.start("serve")
	c.settle() // by the poll alone
	if got := w.sim.Subscriptions(); len(got) > 0 {
		t.Fatalf("%d subscriptions while there is no tunnel, want none", len(got))
	}
	if _, answer := w.get("/readyz"); !strings.Contains(answer, "the tunnel is not open yet") {
		t.Errorf("readyz = %s, want the tunnel named", answer)
	}
	_, port, _ := strings.Cut(listen, ":")
	if want := "ngrok http " + port; !strings.Contains(p.log.String(), want) {
		t.Errorf("log lacks %q", want)
	}

	agent.leads("http://"+listen, listen)
	c.eventually("all are covered under the tunnel's URL", func() bool { return c.coveredBy("http://" + listen) })
	ids := w.subscriptions()
	c.change()
	c.settle()

	moved := "http://localhost:" + port
	agent.leads(moved, listen)
	c.eventually("all subscriptions have followed", func() bool { return c.coveredBy(moved) })
	if got := w.subscriptions(); !slices.Equal(got, ids) {
		t.Errorf("subscriptions = %q, want the old ones patched: %q", got, ids)
	}
	c.change()
	c.settle()
	if _, answer := w.get("/readyz"); !strings.Contains(answer, moved) {
		t.Errorf("readyz = %s, want the new URL", answer)
	}
	p.stop()
}

func TestNobodyComesInsideThroughATunnel(t *testing.T) {
	w := world(t, "", graphsim.Config{Seed: 41})
	agent := startAgent(t)
	const public = "https://ours.ngrok.example"
	agent.leads(public, w.env["LISTEN_ADDR"])
	w.env["TUNNEL"], w.env["NGROK_AGENT_URL"], w.env["PUBLIC_URL"], w.env["MONITOR_TOKEN"] = "agent", agent.URL, "", "the-token"
	ask := func(host, method, path string) (status int, answer string) {
		request, err := http.NewRequestWithContext(t.Context(), method, w.base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		request.SetBasicAuth("mediator", "the-token")
		return send(request)
	}
	through := func(method, path string) int {
		status, _ := ask("ours.ngrok.example", method, path)
		return status
	}
	p := w.start("serve")
	w.answers()
	w.eventually("the tunnel is known", func() bool { // that is told only to who shows the token
		_, answer := ask("", http.MethodGet, "/readyz")
		return strings.Contains(answer, public)
	})
	for _, path := range []string{"/", "/api/users", "/metrics", "/healthz", "/monitor"} {
		if status := through(http.MethodGet, path); status != http.StatusNotFound {
			t.Errorf("GET %s through the tunnel = %d, want 404", path, status)
		}
	}
	if status := through(http.MethodPost, "/graph/notifications?validationToken=x"); status != http.StatusOK {
		t.Errorf("a handshake through the tunnel = %d, want 200", status)
	}
	p.stop()

	w.env["TUNNEL_EXPOSE"] = "all"
	w.start("serve")
	w.answers()
	w.eventually("the users are reached through the tunnel", func() bool { return through(http.MethodGet, "/api/users") == http.StatusOK })
}
