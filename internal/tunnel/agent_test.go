package tunnel_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/tunnel"
)

// tunnels returns an agent's list of tunnels from triples of name, public URL and address.
func tunnels(all ...string) string {
	var list []string
	for t := range slices.Chunk(all, 3) {
		list = append(list, fmt.Sprintf(`{"name":%q,"uri":"/api/tunnels/x","public_url":%q,"proto":"https","config":{"addr":%q,"inspect":true},"metrics":{}}`, t[0], t[1], t[2]))
	}
	return `{"tunnels":[` + strings.Join(list, ",") + `],"uri":"/api/tunnels"}`
}

// newAgent starts the API of an ngrok agent that gives these answers in turn and then
// repeats the last one. An empty answer is a 502.
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
	const (
		public   = "https://ours.ngrok-free.app"
		none     = "the agent has no https tunnel to port 8080: start one with: ngrok http 8080"
		notAgent = "NGROK_AGENT_URL is not an ngrok agent (status 200): set it to the agent's web interface"
	)
	tests := map[string]struct {
		body string
		want string // a URL or an error
	}{
		"URL with a trailing slash":    {tunnels("command_line", public+"/", "http://localhost:8080"), public},
		"address without a scheme":     {tunnels("web", public, "127.0.0.1:8080"), public},
		"port only":                    {tunnels("web", public, "8080"), public},
		"upstream with TLS":            {tunnels("web", public, "https://localhost:8080/"), public},
		"IPv6 address":                 {tunnels("web", public, "http://[::1]:8080"), public},
		"tunnel to another port":       {tunnels("a", "https://other.ngrok.app", "http://localhost:80", "b", public, "http://localhost:8080"), public},
		"first by name":                {tunnels("b", "https://b.ngrok.app", "http://localhost:8080", "a", public, "http://localhost:8080"), public},
		"http on loopback":             {tunnels("a", "http://127.0.0.1:9000", "http://localhost:8080"), "http://127.0.0.1:9000"},
		"no tunnel to the port":        {tunnels("a", public, "http://localhost:80"), none},
		"http":                         {tunnels("a", "http://ours.ngrok.app", "http://localhost:8080"), none},
		"TCP":                          {tunnels("a", "tcp://0.tcp.ngrok.io:1234", "localhost:8080"), none},
		"no tunnel":                    {tunnels(), none},
		"invalid URL":                  {tunnels("a", "https://%zz", "http://localhost:8080"), none},
		"URL with a password":          {tunnels("a", "https://u:p@ours.ngrok.app", "http://localhost:8080"), none},
		"HTML":                         {"<html>", notAgent},
		"502":                          {"", strings.Replace(notAgent, "200", "502", 1)},
		"answer larger than the limit": {`{"x":"` + strings.Repeat("x", 2<<20) + `","tunnels":[]}`, notAgent},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tunnel.AgentURL(t.Context(), newAgent(t, tt.body)+"/", "8080", "")
			if err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("AgentURL = %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("connection refused", func(t *testing.T) {
		const want = "the agent does not answer: start it with: ngrok http 8080: dial tcp 127.0.0.1:1: connect: connection refused"
		if _, err := tunnel.AgentURL(t.Context(), "http://127.0.0.1:1", "8080", ""); err == nil || err.Error() != want {
			t.Errorf("AgentURL = %v, want %s", err, want)
		}
	})
	t.Run("redirect", func(t *testing.T) {
		elsewhere := httptest.NewServer(http.RedirectHandler(newAgent(t, tunnels("a", public, "8080")), http.StatusFound))
		defer elsewhere.Close()
		if got, err := tunnel.AgentURL(t.Context(), elsewhere.URL, "8080", ""); err == nil || !strings.Contains(err.Error(), "status 302") {
			t.Errorf("AgentURL = %q, %v, want an error with status 302", got, err)
		}
	})
}

func TestAgentReportsEachURLOnce(t *testing.T) {
	reported, log := make(chan string, 10), &programtest.Output{}
	const one, two, other = "https://one.ngrok.app", "https://two.ngrok.app", "https://other.ngrok.app"
	onlyOne := tunnels("web", one, "http://localhost:8080")
	a := &tunnel.Agent{Port: "8080", Opened: func(url string) { reported <- url }, Log: slog.New(slog.NewTextHandler(log, nil)), API: newAgent(t,
		onlyOne, onlyOne,
		// Another tunnel whose name sorts first does not replace the reported one.
		tunnels("a", other, "http://localhost:8080", "web", one, "http://localhost:8080"),
		// Failures leave the reported URL in place.
		tunnels(), "", "", onlyOne,
		tunnels("web", two, "http://localhost:8080"))}
	a.SetInterval(time.Millisecond)
	await.Run(t, a.Run)
	await.True(t, "two URLs are reported", func() bool { return len(reported) == 2 })
	for _, want := range []string{one, two} {
		if got := <-reported; got != want {
			t.Errorf("URL = %s, want %s", got, want)
		}
	}
	if n := strings.Count(log.String(), "is not an ngrok agent"); n != 1 {
		t.Errorf("the same failure was logged %d times, want once", n)
	}
}
