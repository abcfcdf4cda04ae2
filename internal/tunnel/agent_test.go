package tunnel_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/tunnel"
)

// follow starts an Agent that looks for a tunnel to port 8080.
func follow(t *testing.T, api string) (*told, *lines) {
	t.Helper()
	heard, log := &told{}, &lines{}
	a, err := tunnel.NewAgent(tunnel.AgentConfig{
		API: api, Port: "8080", Every: 2 * time.Millisecond, Opened: heard.opened, Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	start(t, a.Run)
	return heard, log
}

func TestTheAgentsTunnelIsFound(t *testing.T) {
	const ours = "https://ours.ngrok-free.app"
	tests := map[string]struct {
		body string
		want string // empty: none
	}{
		"as the agent writes it":       {tunnels("command_line", ours, "http://localhost:8080"), ours},
		"with a slash at the end":      {tunnels("command_line", ours+"/", "http://localhost:8080"), ours},
		"an address without a scheme":  {tunnels("web", ours, "127.0.0.1:8080"), ours},
		"a port alone":                 {tunnels("web", ours, "8080"), ours},
		"an upstream with TLS":         {tunnels("web", ours, "https://localhost:8080/"), ours},
		"an IPv6 address":              {tunnels("web", ours, "http://[::1]:8080"), ours},
		"among others":                 {tunnels("a", "https://other.ngrok.app", "http://localhost:80", "b", ours, "http://localhost:8080"), ours},
		"the first by name":            {tunnels("b", "https://b.ngrok.app", "http://localhost:8080", "a", ours, "http://localhost:8080"), ours},
		"one on loopback, for a local": {tunnels("a", "http://127.0.0.1:9000", "http://localhost:8080"), "http://127.0.0.1:9000"},
		"none to our port":             {tunnels("a", ours, "http://localhost:80"), ""},
		"none with https":              {tunnels("a", "http://ours.ngrok.app", "http://localhost:8080"), ""},
		"none of HTTP":                 {tunnels("a", "tcp://0.tcp.ngrok.io:1234", "localhost:8080"), ""},
		"none at all":                  {tunnels(), ""},
		"what is no URL":               {tunnels("a", "https://%zz", "http://localhost:8080"), ""},
		"a URL with a password":        {tunnels("a", "https://u:p@ours.ngrok.app", "http://localhost:8080"), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			agent := newFakeAgent(t)
			heard, log := follow(t, agent.server.URL+"/")
			agent.answer(t, http.StatusOK, tt.body)
			if tt.want == "" {
				if got := heard.all(); len(got) > 0 || log.count("ngrok http 8080") != 1 {
					t.Errorf("URLs = %v with %d hints, want none and one hint", got, log.count("ngrok http 8080"))
				}
				return
			}
			eventually(t, "the URL is told", func() bool { return len(heard.all()) > 0 })
			if got := heard.all(); !slices.Equal(got, []string{tt.want}) {
				t.Errorf("URLs = %v, want %s", got, tt.want)
			}
		})
	}
}

func TestTheAgentIsAskedOnce(t *testing.T) {
	const ours = "https://ours.ngrok-free.app"
	tests := map[string]struct {
		status int
		body   string
		want   string // a URL, or what the error says
	}{
		"a tunnel to our port": {http.StatusOK, tunnels("a", ours, "http://localhost:8080"), ours},
		"none to our port":     {http.StatusOK, tunnels("a", ours, "http://localhost:80"), "start one with: ngrok http 8080"},
		"what is no agent":     {http.StatusNotFound, "not found", "set NGROK_AGENT_URL"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			agent := newFakeAgent(t)
			agent.status, agent.body = tt.status, tt.body
			a, err := tunnel.NewAgent(tunnel.AgentConfig{API: agent.server.URL, Port: "8080", Opened: func(string) {}})
			if err != nil {
				t.Fatal(err)
			}
			got, err := a.URL(t.Context())
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, tt.want) {
				t.Errorf("URL = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEachURLOfTheAgentIsToldOnce(t *testing.T) {
	agent := newFakeAgent(t)
	heard, log := follow(t, agent.server.URL)
	one := tunnels("web", "https://one.ngrok.app", "http://localhost:8080")
	agent.answer(t, http.StatusOK, one)
	agent.answer(t, http.StatusOK, one)
	// Another one of an earlier name comes: ours stays.
	agent.answer(t, http.StatusOK, tunnels("a", "https://other.ngrok.app", "http://localhost:8080", "web", "https://one.ngrok.app", "http://localhost:8080"))
	// Trouble leaves the last one in place.
	agent.answer(t, http.StatusOK, tunnels())
	agent.answer(t, http.StatusBadGateway, "")
	agent.answer(t, http.StatusOK, one)
	agent.answer(t, http.StatusOK, tunnels("web", "https://two.ngrok.app", "http://localhost:8080"))
	eventually(t, "the second URL is told", func() bool { return len(heard.all()) == 2 })
	if got, want := heard.all(), []string{"https://one.ngrok.app", "https://two.ngrok.app"}; !slices.Equal(got, want) {
		t.Errorf("URLs = %v, want %v", got, want)
	}
	if n := log.count("is no ngrok agent"); n != 1 {
		t.Errorf("the log tells %d times of what is no agent, want once however often it was asked", n)
	}
}

func TestWhatIsNoAgentIsToldWithWhatToDo(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	defer html.Close()
	elsewhere := httptest.NewServer(http.RedirectHandler(html.URL, http.StatusFound))
	defer elsewhere.Close()
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"x":"` + strings.Repeat("x", 2<<20) + `","tunnels":[]}`))
	}))
	defer endless.Close()
	tests := map[string]struct{ api, want string }{
		"nobody":                {gone.URL, "start it with: ngrok http 8080"},
		"a page":                {html.URL, "is no ngrok agent"},
		"a redirect":            {elsewhere.URL, "status 302"},
		"an answer without end": {endless.URL, "is no ngrok agent"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			heard, log := follow(t, tt.api)
			eventually(t, "the log says what to do", func() bool { return log.count(tt.want) > 0 })
			if got := heard.all(); len(got) > 0 {
				t.Errorf("URLs = %v, want none", got)
			}
		})
	}
}

func TestAnAgentNeedsToKnowWhere(t *testing.T) {
	for name, cfg := range map[string]tunnel.AgentConfig{
		"no API":  {Port: "1", Opened: func(string) {}},
		"no port": {API: "http://127.0.0.1:4040", Opened: func(string) {}},
		"no ear":  {API: "http://127.0.0.1:4040", Port: "1"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := tunnel.NewAgent(cfg); err == nil {
				t.Error("NewAgent = no error, want one")
			}
		})
	}
}
