package doctor_test

import (
	"cmp"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/doctor"
)

// respond always sends the same response.
func respond(status int, kind, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// proxy changes requests to the service.
func proxy(change func(*http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		change(r)
		serve(w, r)
	}
}

func TestPublicURL(t *testing.T) {
	const page = "<!DOCTYPE html><html><head><title>Sign in to\x1b[31m continue</title></head></html>"
	tests := map[string]struct {
		server        http.HandlerFunc
		status        doctor.Status
		found, remedy string
	}{
		"service":                        {serve, doctor.OK, "the handshake works", ""},
		"proxy drops the query":          {proxy(func(r *http.Request) { r.URL.RawQuery = "" }), doctor.Failed, "the query is lost", "pass the query on"},
		"proxy encodes the query again":  {proxy(func(r *http.Request) { r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, "%", "%25") }), doctor.Failed, "encoded or decoded twice", "pass the query on"},
		"proxy truncates the query":      {proxy(func(r *http.Request) { r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, "%26", "&") }), doctor.Failed, "encoded or decoded twice", "pass the query on"},
		"proxy changes the path":         {proxy(func(r *http.Request) { r.URL.Path = "/app" + r.URL.Path }), doctor.Failed, "under a path other than /graph/notifications", "prefix"},
		"proxy passes one of two paths":  {proxy(func(r *http.Request) { r.URL.Path = strings.Replace(r.URL.Path, "lifecycle", "x", 1) }), doctor.Failed, "under a path other than /graph/lifecycle", "prefix"},
		"proxy changes the Content-Type": {func(w http.ResponseWriter, r *http.Request) { serve(asHTML{w}, r) }, doctor.Failed, "is text/html", "Content-Type"},
		"proxy without service":          {respond(502, "text/html", page), doctor.Failed, "the proxy answers 502", "LISTEN_ADDR"},
		"web application firewall":       {respond(403, "text/html", page), doctor.Failed, "it answers 403", "/graph/"},
		"login page":                     {respond(200, "text/html", page), doctor.Failed, `the answer is an HTML page: a login, or a warning page of a tunnel or proxy ("Sign in to[31m continue")`, "/graph/"},
		"redirect to a login":            {respond(302, "text/html", "", "Location", "https://login.example/authorize?state=hidden"), doctor.Failed, "it redirects (302) to https://login.example/authorize", "final address"},
		"redirect without a target":      {respond(301, "text/html", ""), doctor.Failed, "it redirects (301)", "final address"},
		"warning page of a tunnel":       {respond(200, "text/html", page, "Ngrok-Error-Code", "ERR_NGROK_6024"), doctor.Failed, "an HTML page", "browser warning"},
		"tunnel offline":                 {respond(404, "text/html", page, "Ngrok-Error-Code", "ERR_NGROK_3200"), doctor.Failed, "this tunnel is offline", "restart the tunnel"},
		"tunnel over its limit":          {respond(429, "text/html", page, "Ngrok-Error-Code", "ERR_NGROK_727"), doctor.Failed, "ngrok itself answers: ERR_NGROK_727", "tunnel"},
		"another server, 404":            {respond(404, "text/plain", "nothing"), doctor.Failed, "another server answers 404", "LISTEN_ADDR"},
		"another server, 405":            {respond(405, "text/plain", ""), doctor.Failed, "does not accept POST", "LISTEN_ADDR"},
		"another server, 200":            {respond(200, "text/plain", "ok"), doctor.Failed, "something other than the service", "PUBLIC_URL"},
		"another server, 400":            {respond(400, "text/plain", "ok"), doctor.Failed, "it answers 400 instead of 200", "PUBLIC_URL"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			server := httptest.NewServer(tt.server)
			defer server.Close()
			f.env["PUBLIC_URL"] = server.URL
			wantResult(t, f.check("public URL"), tt.status, tt.found, tt.remedy)
		})
	}
}

// asHTML changes the Content-Type of a response.
type asHTML struct{ http.ResponseWriter }

func (w asHTML) WriteHeader(status int) {
	w.Header().Set("Content-Type", "text/html")
	w.ResponseWriter.WriteHeader(status)
}

func TestProxyThatStripsPrefix(t *testing.T) {
	f := newFixture(t)
	server := httptest.NewServer(http.StripPrefix("/app", serve))
	defer server.Close()
	f.env["PUBLIC_URL"] = server.URL + "/app/"
	wantResult(t, f.check("public URL"), doctor.OK, "the handshake works at "+server.URL+"/app", "")
}

func TestPublicURLSettings(t *testing.T) {
	service := newFixture(t).env["PUBLIC_URL"]
	agent := httptest.NewServer(respond(200, "application/json", `{"tunnels":[{"public_url":"`+service+`","config":{"addr":"127.0.0.1:0"}}]}`))
	defer agent.Close()
	forbidden := httptest.NewServer(respond(403, "text/plain", ""))
	defer forbidden.Close()
	tests := map[string]struct {
		env           map[string]string
		status        doctor.Status
		found, remedy string
		subscription  doctor.Status
	}{
		"none": {map[string]string{"PUBLIC_URL": ""},
			doctor.Warning, "by the poll, every 2s", "set PUBLIC_URL", doctor.Skipped},
		"ngrok tunnel": {map[string]string{"PUBLIC_URL": "", "TUNNEL": "ngrok", "NGROK_AUTHTOKEN": secret},
			doctor.Skipped, "TUNNEL=ngrok there is a URL only while outlook-monitor serve runs", "", doctor.Skipped},
		"agent with a tunnel": {map[string]string{"PUBLIC_URL": "", "TUNNEL": "agent", "MONITOR_TOKEN": secret, "NGROK_AGENT_URL": agent.URL},
			doctor.OK, "the handshake works at " + service, "", doctor.OK},
		"agent without a tunnel": {map[string]string{"PUBLIC_URL": "", "TUNNEL": "agent", "MONITOR_TOKEN": secret, "NGROK_AGENT_URL": "http://127.0.0.1:1"},
			doctor.Failed, "the agent does not answer", "start it with: ngrok http 0", doctor.Skipped},
		"this machine not in PUBLIC_ALLOW": {map[string]string{"PUBLIC_URL": forbidden.URL, "PUBLIC_ALLOW": "192.0.2.1"},
			doctor.Warning, "PUBLIC_ALLOW excludes this machine", "--subscribe", doctor.OK},
		"no certificate from ACME yet": {map[string]string{"PUBLIC_URL": "https://monitor.example.com", "ACME_DOMAINS": "monitor.example.com"},
			doctor.Skipped, "only the running service has the certificate", "", doctor.Skipped},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.cfg.User, f.cfg.Subscribe = ann, true
			maps.Copy(f.env, tt.env)
			wantResult(t, f.check("public URL"), tt.status, tt.found, tt.remedy)
			wantResult(t, f.check("subscription"), tt.subscription, "", "")
			if tt.subscription == doctor.OK && !strings.HasPrefix(f.graph.created.NotificationURL, cmp.Or(tt.env["PUBLIC_URL"], service)) {
				t.Errorf("NotificationURL = %q, want that of PUBLIC_URL", f.graph.created.NotificationURL)
			}
		})
	}
	t.Run("loopback", func(t *testing.T) {
		f := newFixture(t)
		f.cfg.Endpoint = "https://192.0.2.1:1"
		wantResult(t, f.check("public URL"), doctor.Failed, "this machine only", "the internet")
	})
}

func TestSlowHandshake(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "lifecycle") {
			time.Sleep(3100 * time.Millisecond)
		}
		serve(w, r)
	}))
	defer server.Close()
	f.env["PUBLIC_URL"] = server.URL
	wantResult(t, f.check("public URL"), doctor.Warning, "the handshake works, but took", "more than 3 s")
}
