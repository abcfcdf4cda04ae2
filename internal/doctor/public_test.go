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

// answers is a server that always says the same.
func answers(status int, kind, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// proxy is a proxy in front of the service that changes requests.
func proxy(change func(*http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		change(r)
		serve(w, r)
	}
}

func TestWhatIsInTheWayOfPublicURL(t *testing.T) {
	const page = "<!DOCTYPE html><html><head><title>Sign in to\x1b[31m continue</title></head></html>"
	tests := map[string]struct {
		server        http.HandlerFunc
		status        doctor.Status
		found, remedy string
	}{
		"the service itself":                       {serve, doctor.OK, "the handshake works", ""},
		"a proxy that drops the query":             {proxy(func(r *http.Request) { r.URL.RawQuery = "" }), doctor.Failed, "the query is lost", "pass the query on"},
		"a proxy that encodes the query again":     {proxy(func(r *http.Request) { r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, "%", "%25") }), doctor.Failed, "encoded twice", "pass the query on"},
		"a proxy that decodes the query":           {proxy(func(r *http.Request) { r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, "%2b", "+") }), doctor.Failed, "encoded twice on its way, or decoded twice", "pass the query on"},
		"a proxy that cuts the query":              {proxy(func(r *http.Request) { r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, "%26", "&") }), doctor.Failed, "encoded twice on its way, or decoded twice", "pass the query on"},
		"a proxy that adds to the path":            {proxy(func(r *http.Request) { r.URL.Path = "/app" + r.URL.Path }), doctor.Failed, "under a path other than /graph/notifications", "prefix"},
		"a proxy that knows one of two paths":      {proxy(func(r *http.Request) { r.URL.Path = strings.Replace(r.URL.Path, "lifecycle", "x", 1) }), doctor.Failed, "under a path other than /graph/lifecycle", "prefix"},
		"a proxy that changes the type":            {func(w http.ResponseWriter, r *http.Request) { serve(retyped{w}, r) }, doctor.Failed, "is text/html", "Content-Type"},
		"a proxy without its service":              {answers(502, "text/html", page), doctor.Failed, "the proxy answers 502", "LISTEN_ADDR"},
		"a firewall for web applications":          {answers(403, "text/html", page), doctor.Failed, "it answers 403", "/graph/"},
		"a page to log in":                         {answers(200, "text/html", page), doctor.Failed, `the answer is an HTML page: a login, or a warning page of a tunnel or proxy ("Sign in to[31m continue")`, "/graph/"},
		"a redirect to a login":                    {answers(302, "text/html", "", "Location", "https://login.example/authorize?state=hidden"), doctor.Failed, "it redirects (302) to https://login.example/authorize", "final address"},
		"a redirect to nowhere":                    {answers(301, "text/html", ""), doctor.Failed, "it redirects (301)", "final address"},
		"a tunnel's warning":                       {answers(200, "text/html", page, "Ngrok-Error-Code", "ERR_NGROK_6024"), doctor.Failed, "an HTML page", "browser warning"},
		"a tunnel that is offline":                 {answers(404, "text/html", page, "Ngrok-Error-Code", "ERR_NGROK_3200"), doctor.Failed, "this tunnel is offline", "restart the tunnel"},
		"a tunnel over its limit":                  {answers(429, "text/html", page, "Ngrok-Error-Code", "ERR_NGROK_727"), doctor.Failed, "ngrok itself answers: ERR_NGROK_727", "tunnel"},
		"another service":                          {answers(404, "text/plain", "nothing"), doctor.Failed, "another server answers 404", "LISTEN_ADDR"},
		"a site without programs":                  {answers(405, "text/plain", ""), doctor.Failed, "does not accept POST", "LISTEN_ADDR"},
		"a service that says yes to all":           {answers(200, "text/plain", "ok"), doctor.Failed, "something other than the service", "PUBLIC_URL"},
		"a service that says no, but is not ours":  {answers(400, "text/plain", "ok"), doctor.Failed, "it answers 400 instead of 200", "PUBLIC_URL"},
		"a service that takes anything for a hook": {answers(202, "text/plain", ""), doctor.Failed, "it answers 202 instead of 200", "PUBLIC_URL"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			server := httptest.NewServer(tt.server)
			defer server.Close()
			w.env["PUBLIC_URL"] = server.URL
			wants(t, w.check("public URL"), tt.status, tt.found, tt.remedy)
		})
	}
}

// retyped takes every text for HTML.
type retyped struct{ http.ResponseWriter }

func (r retyped) WriteHeader(status int) {
	r.Header().Set("Content-Type", "text/html")
	r.ResponseWriter.WriteHeader(status)
}

func TestAPrefixThatAProxyTakesOff(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewServer(http.StripPrefix("/app", serve))
	defer server.Close()
	w.env["PUBLIC_URL"] = server.URL + "/app/"
	wants(t, w.check("public URL"), doctor.OK, "the handshake works at "+server.URL+"/app", "")
}

func TestPublicURLBySettings(t *testing.T) {
	service := newWorld(t).env["PUBLIC_URL"]
	agent := httptest.NewServer(answers(200, "application/json", `{"tunnels":[{"public_url":"`+service+`","config":{"addr":"127.0.0.1:0"}}]}`))
	defer agent.Close()
	forbidden := httptest.NewServer(answers(403, "text/plain", ""))
	defer forbidden.Close()
	tests := map[string]struct {
		env           map[string]string
		status        doctor.Status
		found, remedy string
		subscription  doctor.Status
	}{
		"there is none": {map[string]string{"PUBLIC_URL": ""},
			doctor.Warning, "by the poll, every 2s", "set PUBLIC_URL", doctor.Skipped},
		"a tunnel will give it": {map[string]string{"PUBLIC_URL": "", "TUNNEL": "ngrok", "NGROK_AUTHTOKEN": secret},
			doctor.Skipped, "TUNNEL=ngrok there is a URL only while outlook-monitor serve runs", "", doctor.Skipped},
		"an agent has a tunnel": {map[string]string{"PUBLIC_URL": "", "TUNNEL": "agent", "MONITOR_TOKEN": secret, "NGROK_AGENT_URL": agent.URL},
			doctor.OK, "the handshake works at " + service, "", doctor.OK},
		"an agent has none": {map[string]string{"PUBLIC_URL": "", "TUNNEL": "agent", "MONITOR_TOKEN": secret, "NGROK_AGENT_URL": "http://127.0.0.1:1"},
			doctor.Failed, "the agent does not answer", "start it with: ngrok http 0", doctor.Skipped},
		"it is allowed for others alone": {map[string]string{"PUBLIC_URL": forbidden.URL, "PUBLIC_ALLOW": "192.0.2.1"},
			doctor.Warning, "PUBLIC_ALLOW excludes this machine", "--subscribe", doctor.OK},
		"ACME has given no certificate yet": {map[string]string{"PUBLIC_URL": "https://monitor.example.com", "ACME_DOMAINS": "monitor.example.com"},
			doctor.Skipped, "only the running service has the certificate", "", doctor.Skipped},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.cfg.User, w.cfg.Subscribe = ann, true
			maps.Copy(w.env, tt.env)
			wants(t, w.check("public URL"), tt.status, tt.found, tt.remedy)
			wants(t, w.check("subscription"), tt.subscription, "", "")
			if tt.subscription == doctor.OK && !strings.HasPrefix(w.graph.asked.NotificationURL, cmp.Or(tt.env["PUBLIC_URL"], service)) {
				t.Errorf("notifications were wanted at %q", w.graph.asked.NotificationURL)
			}
		})
	}
	t.Run("this machine alone can reach it", func(t *testing.T) {
		w := newWorld(t)
		w.cfg.Endpoint = "https://192.0.2.1:1"
		wants(t, w.check("public URL"), doctor.Failed, "this machine only", "the internet")
	})
}

func TestASlowHandshakeIsReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "lifecycle") {
			time.Sleep(3100 * time.Millisecond)
		}
		serve(w, r)
	}))
	defer server.Close()
	w.env["PUBLIC_URL"] = server.URL
	wants(t, w.check("public URL"), doctor.Warning, "the handshake works, but took", "more than 3 s")
}
