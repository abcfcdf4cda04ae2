package main_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"outlook-monitor/internal/graphsim"
)

func TestCheckConfig(t *testing.T) {
	var calls atomic.Int32
	stranger := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	defer stranger.Close()
	w := world(t, "redis://:redis-secret@127.0.0.1:1/0", graphsim.Config{Seed: 43})
	w.env["MEDIATOR_URL"], w.env["NGROK_AGENT_URL"], w.env["MONITOR_TOKEN"] = stranger.URL, stranger.URL, "monitor-secret"
	w.env["LISTEN_ADDR"] = strings.TrimPrefix(stranger.URL, "http://") // taken, as that of the service that runs
	w.env["CLIENT_STATE_KEY"], w.env["AZURE_CLIENT_SECRET"] = "", "client-secret"
	junk := filepath.Join(t.TempDir(), "junk.pem")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := encryptionPair(t)
	tests := map[string]struct {
		env  map[string]string
		args []string
		code int
		want []string // regular expressions
	}{
		"all is right": {nil, []string{"--poll-interval=5s"}, 0, []string{
			`(?m)^SETTING +VALUE +FROM$`, `(?m)^POLL_INTERVAL +5s +flag$`, `(?m)^MESSAGE +external +default$`,
			`(?m)^MONITOR_TOKEN +\[redacted\] +MONITOR_TOKEN$`, `(?m)^REDIS_URL +redis://:xxxxx@127\.0\.0\.1:1/0 +REDIS_URL$`, `The settings are valid`,
		}},
		"a private address too": {map[string]string{"PRIVATE_ADDR": "127.0.0.1:1"}, nil, 0, []string{`(?m)^PRIVATE_ADDR +127\.0\.0\.1:1 `}},
		"a tunnel":              {map[string]string{"PUBLIC_URL": "", "TUNNEL": "agent"}, nil, 0, []string{`(?m)^TUNNEL +agent +TUNNEL$`}},
		"all mistakes at once": {map[string]string{"POLL_INTERVAL": "2", "TLS_CERT_FILE": junk, "TLS_KEY_FILE": junk, "PUBLIC_URL": "ftp://x"}, nil, 2, []string{
			"POLL_INTERVAL is", "matching certificate", "PUBLIC_URL is not a base URL",
		}},
		"what only Redis' library knows": {map[string]string{"REDIS_URL": "redis://127.0.0.1:1/0?no_such_option=1"}, nil, 2, []string{"REDIS_URL has a database number or an option"}},
		"resource data of what has none": {map[string]string{"ENCRYPTION_CERT_FILE": cert, "ENCRYPTION_KEY_FILE": key,
			"SUBSCRIPTION_RESOURCES": "/users/{id}/events,/users/{id}/todo/lists/x/tasks,/users/{id}/messages?$top=5"}, nil, 2, []string{
			"tasks: Graph sends no resource data of tasks, leave it out", `\$top.*leave it out`,
		}},
		"a certificate that is none": {map[string]string{"AZURE_CLIENT_SECRET": "", "AZURE_CLIENT_CERTIFICATE_PATH": filepath.Join(t.TempDir(), "none")}, nil, 2, []string{"AZURE_CLIENT_CERTIFICATE_PATH names"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			mine := *w
			mine.env = map[string]string{}
			for _, env := range []map[string]string{w.env, tt.env} {
				for name, value := range env {
					mine.env[name] = value
				}
			}
			p := mine.start(append([]string{"serve", "--check-config"}, tt.args...)...)
			if code := p.Wait(); code != tt.code {
				t.Errorf("exit code = %d, want %d: %s", code, tt.code, p.log)
			}
			for _, want := range tt.want {
				if !regexp.MustCompile(want).MatchString(p.log.String()) {
					t.Errorf("output = %s, want %s in it", p.log, want)
				}
			}
			for _, secret := range []string{"redis-secret", "monitor-secret", "client-secret"} {
				if strings.Contains(p.log.String(), secret) {
					t.Errorf("output = %s, want no secret in it", p.log)
				}
			}
		})
	}
	if n := calls.Load(); n > 0 || len(w.sim.Stats().Calls) > 0 {
		t.Errorf("%d calls of others and %v of Graph, want none", n, w.sim.Stats().Calls)
	}
}
