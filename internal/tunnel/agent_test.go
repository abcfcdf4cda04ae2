package tunnel_test

import (
	"fmt"
	"log/slog"
	"net/http"
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
	return programtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		if r.URL.Path != "/api/tunnels" || answer == "" {
			w.WriteHeader(http.StatusBadGateway)
		}
		fmt.Fprint(w, answer)
	}))
}

func TestAgentURL(t *testing.T) {
	const (
		public   = "https://ours.ngrok-free.app"
		none     = "the agent has no https tunnel to port 8080: start one with: ngrok http 8080"
		notAgent = "NGROK_AGENT_URL is not an ngrok agent (status 200): set it to the agent's web interface"
		refused  = `the agent does not answer ("dial tcp 127.0.0.1:1: connect: connection refused"): start it with: ngrok http 8080`
	)
	agent := func(all ...string) (url string) { return newAgent(t, tunnels(all...)) }
	elsewhere := programtest.Serve(t, http.RedirectHandler(agent("a", public, "8080")+"/api/tunnels", http.StatusFound))
	for name, tt := range map[string]struct {
		api  string // URL of the agent
		want string // a URL or an error
	}{
		"URL with a trailing slash":    {agent("command_line", public+"/", "http://localhost:8080"), public},
		"address without a scheme":     {agent("web", public, "127.0.0.1:8080"), public},
		"port only":                    {agent("web", public, "8080"), public},
		"upstream with TLS":            {agent("web", public, "https://localhost:8080/"), public},
		"IPv6 address":                 {agent("web", public, "http://[::1]:8080"), public},
		"tunnel to another port":       {agent("a", "https://other.ngrok.app", "http://localhost:80", "b", public, "http://localhost:8080"), public},
		"first by name":                {agent("b", "https://b.ngrok.app", "http://localhost:8080", "a", public, "http://localhost:8080"), public},
		"http on loopback":             {agent("a", "http://127.0.0.1:9000", "http://localhost:8080"), "http://127.0.0.1:9000"},
		"no tunnel to the port":        {agent("a", public, "http://localhost:80"), none},
		"http":                         {agent("a", "http://ours.ngrok.app", "http://localhost:8080"), none},
		"TCP":                          {agent("a", "tcp://0.tcp.ngrok.io:1234", "localhost:8080"), none},
		"no tunnel":                    {agent(), none},
		"invalid URL":                  {agent("a", "https://%zz", "http://localhost:8080"), none},
		"URL with a password":          {agent("a", "https://u:p@ours.ngrok.app", "http://localhost:8080"), none},
		"HTML":                         {newAgent(t, "<html>"), notAgent},
		"502":                          {newAgent(t, ""), strings.Replace(notAgent, "200", "502", 1)},
		"answer larger than the limit": {newAgent(t, `{"x":"`+strings.Repeat("x", 2<<20)+`","tunnels":[]}`), notAgent},
		"redirect":                     {elsewhere, strings.Replace(notAgent, "200", "302", 1)},
		"connection refused":           {"http://127.0.0.1:1", refused},
	} {
		got, err := tunnel.AgentURL(t.Context(), tt.api+"/", "8080", "")
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: AgentURL = %q, want %q", name, got, tt.want)
		}
	}
}

func TestAgentReportsChanges(t *testing.T) {
	reported, log := make(chan string, 10), &programtest.Output{}
	const one, two, other = "https://one.ngrok.app", "https://two.ngrok.app", "https://other.ngrok.app"
	onlyOne := tunnels("web", one, "http://localhost:8080")
	a := &tunnel.Agent{Port: "8080", OnChange: func(url string) { reported <- url }, Log: slog.New(slog.NewTextHandler(log, nil)), API: newAgent(t,
		onlyOne, onlyOne,
		// Another tunnel whose name sorts first does not replace the reported one.
		tunnels("a", other, "http://localhost:8080", "web", one, "http://localhost:8080"),
		tunnels(), "", "", onlyOne,
		tunnels("web", two, "http://localhost:8080"))}
	a.SetInterval(time.Millisecond)
	await.Run(t, a.Run)
	await.True(t, "five changes are reported", func() bool { return len(reported) == 5 })
	for _, want := range []string{one, "", "", one, two} {
		if got := <-reported; got != want {
			t.Errorf("URL = %s, want %s", got, want)
		}
	}
	if n := strings.Count(log.String(), "is not an ngrok agent"); n != 1 {
		t.Errorf("the same failure was logged %d times, want once", n)
	}
}
