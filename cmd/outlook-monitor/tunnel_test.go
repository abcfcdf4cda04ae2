package main_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"outlook-monitor/internal/graphsim"
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
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 40})
	agent, listen, private := startAgent(t), w.env["LISTEN_ADDR"], freeAddress(t)
	w.base = "http://" + private
	w.mediator.SetMonitorURL(w.base)
	w.env["TUNNEL"], w.env["NGROK_AGENT_URL"], w.env["PUBLIC_URL"], w.env["PRIVATE_ADDR"] = "agent", agent.URL, "", private
	c := newCrowd(w, 5)
	p := w.start("serve")
	c.settle() // by the poll alone
	if got := w.sim.Subscriptions(); len(got) > 0 {
		t.Fatalf("%d subscriptions while there is no tunnel, want none", len(got))
	}
	if _, answer := w.ask(http.MethodGet, "/readyz", "", ""); !strings.Contains(answer, "the tunnel is not open yet") {
		t.Errorf("readyz = %s, want the tunnel named", answer)
	}
	_, port, _ := strings.Cut(listen, ":")
	if want := "ngrok http " + port; !strings.Contains(p.log.String(), want) {
		t.Errorf("log lacks %q", want)
	}

	agent.leads("http://"+listen, listen)
	c.eventually("all are covered under the tunnel's URL", func() bool { return c.coveredBy("http://" + listen) })
	ids := map[string]bool{}
	for _, sub := range w.sim.Subscriptions() {
		ids[sub.ID] = true
	}
	c.change()
	c.settle()

	moved := "http://localhost:" + port
	agent.leads(moved, listen)
	c.eventually("all subscriptions have followed", func() bool { return c.coveredBy(moved) })
	for _, sub := range w.sim.Subscriptions() {
		if !ids[sub.ID] {
			t.Errorf("subscription %s is new, want the old ones patched", sub.ID)
		}
	}
	c.change()
	c.settle()
	if _, answer := w.ask(http.MethodGet, "/readyz", "", ""); !strings.Contains(answer, moved) {
		t.Errorf("readyz = %s, want the new URL", answer)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
}

func TestNobodyComesInsideThroughATunnel(t *testing.T) {
	w := world(t, "", graphsim.Config{Seed: 41})
	agent := startAgent(t)
	const public = "https://ours.ngrok.example"
	agent.leads(public, w.env["LISTEN_ADDR"])
	w.env["TUNNEL"], w.env["NGROK_AGENT_URL"], w.env["PUBLIC_URL"], w.env["MONITOR_TOKEN"] = "agent", agent.URL, "", "the-token"
	through := func(method, path string) int {
		request, err := http.NewRequestWithContext(t.Context(), method, w.base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = "ours.ngrok.example"
		request.SetBasicAuth("mediator", "the-token")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0
		}
		defer response.Body.Close()
		return response.StatusCode
	}
	p := w.start("serve")
	w.answers()
	w.eventually("the tunnel is known", func() bool { // that is told only to who shows the token
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.base+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth("mediator", "the-token")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		return err == nil && strings.Contains(string(answer), public)
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

func TestATunnelThatCannotBeIsAWrongSetting(t *testing.T) {
	w := world(t, "", graphsim.Config{Seed: 42})
	w.env["TUNNEL"] = "ngrok" // with PUBLIC_URL and without a token
	p := w.start("serve")
	if code := p.wait(); code != 2 {
		t.Errorf("exit code = %d, want 2", code)
	}
	for _, want := range []string{"NGROK_AUTHTOKEN is not set", "TUNNEL is ngrok and PUBLIC_URL is set too"} {
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("output = %s, want %q in it", p.log, want)
		}
	}
}
