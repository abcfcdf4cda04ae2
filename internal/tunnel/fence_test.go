package tunnel_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"outlook-monitor/internal/tunnel"
)

func TestTunnelFence(t *testing.T) {
	fenced := tunnel.Fence(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
	}), http.NotFoundHandler())
	for name, tt := range map[string]struct {
		host, header string
		status       int
	}{
		"public name":            {"ours.ngrok.app", "", 404},
		"letter case, dot, port": {"Ours.NGROK.app.:443", "", 404},
		"other public name":      {"monitor.example", "", 404},
		"no name":                {"", "", 404},
		"proxy's host":           {"localhost:8080", "X-Forwarded-Host", 404},
		"proxy's caller":         {"127.0.0.1:8080", "X-Forwarded-For", 404},
		"proxy's scheme":         {"127.0.0.1:8080", "X-Forwarded-Proto", 404},
		"proxy's header":         {"127.0.0.1:8080", "Forwarded", 404},
		"IPv4 address":           {"192.168.1.5:8080", "", 202},
		"IPv6 address":           {"[::1]:8080", "", 202},
		"local name":             {"laptop.local:8080", "", 202},
		"name without a dot":     {"outlook-monitor:8080", "", 202},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Host = tt.host
		if tt.header != "" {
			r.Header.Set(tt.header, "from the proxy")
		}
		answer := httptest.NewRecorder()
		if fenced.ServeHTTP(answer, r); answer.Code != tt.status {
			t.Errorf("%s: status = %d, want %d", name, answer.Code, tt.status)
		}
	}
}
