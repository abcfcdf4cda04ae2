package tunnel_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/tunnel"
)

// tunnels is what an agent lists: names, public URLs and addresses in turn.
func tunnels(all ...string) string {
	var list []string
	for t := range slices.Chunk(all, 3) {
		list = append(list, fmt.Sprintf(`{"name":%q,"uri":"/api/tunnels/x","public_url":%q,"proto":"https","config":{"addr":%q,"inspect":true},"metrics":{}}`, t[0], t[1], t[2]))
	}
	return `{"tunnels":[` + strings.Join(list, ",") + `],"uri":"/api/tunnels"}`
}

// newAgent starts the API of an ngrok agent that gives these answers in turn, and the
// last one again and again; an empty one is a 502.
func newAgent(t *testing.T, answers ...string) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		if r.URL.Path != "/api/tunnels" || answer == "" {
			w.WriteHeader(http.StatusBadGateway)
		}
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestAgentURL(t *testing.T) {
	const ours, none = "https://ours.ngrok-free.app", "the agent has no https tunnel to port 8080: start one with: ngrok http 8080"
	tests := map[string]struct {
		body string
		want string // a URL or an error
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
		"none to our port":             {tunnels("a", ours, "http://localhost:80"), none},
		"none with https":              {tunnels("a", "http://ours.ngrok.app", "http://localhost:8080"), none},
		"none of HTTP":                 {tunnels("a", "tcp://0.tcp.ngrok.io:1234", "localhost:8080"), none},
		"none at all":                  {tunnels(), none},
		"what is no URL":               {tunnels("a", "https://%zz", "http://localhost:8080"), none},
		"a URL with a password":        {tunnels("a", "https://u:p@ours.ngrok.app", "http://localhost:8080"), none},
		"a page":                       {"<html>", "what answers there (status 200) is no ngrok agent: set NGROK_AGENT_URL to its web interface"},
		"a proxy":                      {"", "what answers there (status 502) is no ngrok agent: set NGROK_AGENT_URL to its web interface"},
		"an answer without end":        {`{"x":"` + strings.Repeat("x", 2<<20) + `","tunnels":[]}`, "what answers there (status 200) is no ngrok agent: set NGROK_AGENT_URL to its web interface"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tunnel.AgentURL(t.Context(), newAgent(t, tt.body)+"/", "8080")
			if err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("AgentURL = %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("nobody", func(t *testing.T) {
		const want = "the agent does not answer: start it with: ngrok http 8080: dial tcp 127.0.0.1:1: connect: connection refused"
		if _, err := tunnel.AgentURL(t.Context(), "http://127.0.0.1:1", "8080"); err == nil || err.Error() != want {
			t.Errorf("AgentURL = %v, want %s", err, want)
		}
	})
	t.Run("a redirect", func(t *testing.T) {
		elsewhere := httptest.NewServer(http.RedirectHandler(newAgent(t, tunnels("a", ours, "8080")), http.StatusFound))
		defer elsewhere.Close()
		if got, err := tunnel.AgentURL(t.Context(), elsewhere.URL, "8080"); err == nil || !strings.Contains(err.Error(), "status 302") {
			t.Errorf("AgentURL = %q, %v, want that a redirect is no agent's", got, err)
		}
	})
}

func TestEachURLOfTheAgentIsReportedOnce(t *testing.T) {
	heard, log := &urls{}, &programtest.Output{}
	one := tunnels("web", "https://one.ngrok.app", "http://localhost:8080")
	a := &tunnel.Agent{Port: "8080", Opened: heard.opened, Log: slog.New(slog.NewTextHandler(log, nil)), API: newAgent(t,
		one, one,
		// Another one of an earlier name comes: ours stays.
		tunnels("a", "https://other.ngrok.app", "http://localhost:8080", "web", "https://one.ngrok.app", "http://localhost:8080"),
		// Trouble leaves the last one in place.
		tunnels(), "", "", one,
		tunnels("web", "https://two.ngrok.app", "http://localhost:8080"))}
	a.Hurry()
	await.Run(t, a.Run)
	await.True(t, "the second URL is reported", func() bool { return len(heard.all()) == 2 })
	if got, want := heard.all(), []string{"https://one.ngrok.app", "https://two.ngrok.app"}; !slices.Equal(got, want) {
		t.Errorf("URLs = %v, want %v", got, want)
	}
	if n := strings.Count(log.String(), "is no ngrok agent"); n != 1 {
		t.Errorf("the log says %d times what is no agent, want once however often it was asked", n)
	}
}
