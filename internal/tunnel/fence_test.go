package tunnel_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"outlook-monitor/internal/tunnel"
)

var everything = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) })

func TestWhatIsReachedThroughATunnel(t *testing.T) {
	const graph = "/graph/notifications"
	public := func() string { return "https://ours.ngrok.app" }
	fenced := tunnel.Fence(everything, public, graph)
	tests := map[string]struct {
		handler              http.Handler
		host, forwarded, url string
		status               int
	}{
		"Graph's path":                         {tunnel.Only(everything, graph), "ours.ngrok.app", "", graph + "?validationToken=x", 200},
		"another path":                         {tunnel.Only(everything, graph), "ours.ngrok.app", "", "/api/users", 404},
		"a path below Graph's":                 {tunnel.Only(everything, graph), "ours.ngrok.app", "", graph + "/", 404},
		"Graph's path, fenced":                 {fenced, "ours.ngrok.app", "", graph, 200},
		"another path, fenced":                 {fenced, "ours.ngrok.app", "", "/api/users", 404},
		"in another letter case":               {fenced, "Ours.NGROK.app", "", "/api/users", 404},
		"an agent that writes another host":    {fenced, "localhost:8080", "ours.ngrok.app", "/api/users", 404},
		"one of several hosts that it was for": {fenced, "localhost:8080", "stranger.example, ours.ngrok.app", "/", 404},
		"not through the tunnel":               {fenced, "127.0.0.1:8080", "", "/api/users", 200},
		"through another proxy":                {fenced, "127.0.0.1:8080", "monitor.example", "/api/users", 200},
		"while there is no tunnel":             {tunnel.Fence(everything, func() string { return "" }, graph), "", "", "/api/users", 200},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, tt.url, nil)
			r.Host = tt.host
			if tt.forwarded != "" {
				r.Header.Set("X-Forwarded-Host", tt.forwarded)
			}
			answer := httptest.NewRecorder()
			tt.handler.ServeHTTP(answer, r)
			if answer.Code != tt.status {
				t.Errorf("status = %d, want %d", answer.Code, tt.status)
			}
			if tt.status == 404 && answer.Body.String() != `{"error":"no such path"}` {
				t.Errorf("body = %q, want the error in JSON", answer.Body)
			}
		})
	}
}
