package doctor_test

import (
	"cmp"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/doctor"
	"outlook-monitor/internal/programtest"
)

// proxy changes requests to the service.
func proxy(change func(*http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		change(r)
		serve(w, r)
	}
}

func TestPublicURL(t *testing.T) {
	const page = "<!DOCTYPE html><html><head><title>Sign in to\x1b[31m continue</title></head></html>"
	asHTML := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		serve(answer, r)
		reply{answer.Code, "Content-Type: text/html", answer.Body.String()}.ServeHTTP(w, r)
	})
	slow := proxy(func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "lifecycle") {
			time.Sleep(3100 * time.Millisecond)
		}
	})
	behind := func(server http.Handler) func(*fixture) {
		return func(f *fixture) { f.env["PUBLIC_URL"] = programtest.Serve(f.t, server) }
	}
	wantFindings(t, map[string]finding{
		"service":                        {behind(serve), "public URL", doctor.OK, "the handshake works", ""},
		"loopback":                       {func(f *fixture) { f.cfg.Login.Endpoint = "https://192.0.2.1:1" }, "public URL", doctor.Failed, "this machine only", "the internet"},
		"slow answer":                    {behind(slow), "public URL", doctor.Warning, "the handshake works, but took", "more than 3 s"},
		"proxy drops the query":          {behind(proxy(func(r *http.Request) { r.URL.RawQuery = "" })), "public URL", doctor.Failed, "the query is lost", "pass the query on"},
		"proxy encodes the query again":  {behind(proxy(func(r *http.Request) { r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, "%", "%25") })), "public URL", doctor.Failed, "encoded or decoded twice", "pass the query on"},
		"proxy truncates the query":      {behind(proxy(func(r *http.Request) { r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, "%26", "&") })), "public URL", doctor.Failed, "encoded or decoded twice", "pass the query on"},
		"proxy changes the path":         {behind(proxy(func(r *http.Request) { r.URL.Path = "/app" + r.URL.Path })), "public URL", doctor.Failed, "under a path other than /graph/notifications", "prefix"},
		"proxy passes one of two paths":  {behind(proxy(func(r *http.Request) { r.URL.Path = strings.Replace(r.URL.Path, "lifecycle", "x", 1) })), "public URL", doctor.Failed, "under a path other than /graph/lifecycle", "prefix"},
		"proxy changes the Content-Type": {behind(asHTML), "public URL", doctor.Failed, "is text/html", "Content-Type"},
		"proxy without service":          {behind(reply{502, "", page}), "public URL", doctor.Failed, "the proxy answers 502", "LISTEN_ADDR"},
		"web application firewall":       {behind(reply{403, "", page}), "public URL", doctor.Failed, "it answers 403", "/graph/"},
		"login page":                     {behind(reply{200, "", page}), "public URL", doctor.Failed, `the answer is an HTML page: a login, or a warning page of a tunnel or proxy ("Sign in to[31m continue")`, "/graph/"},
		"redirect to a login":            {behind(reply{302, "Location: https://login.example/authorize?state=hidden", ""}), "public URL", doctor.Failed, "it redirects (302) to https://login.example/authorize", "final address"},
		"redirect without a target":      {behind(reply{301, "", ""}), "public URL", doctor.Failed, "it redirects (301)", "final address"},
		"warning page of a tunnel":       {behind(reply{200, "Ngrok-Error-Code: ERR_NGROK_6024", page}), "public URL", doctor.Failed, "an HTML page", "browser warning"},
		"tunnel offline":                 {behind(reply{404, "Ngrok-Error-Code: ERR_NGROK_3200", page}), "public URL", doctor.Failed, "ngrok itself answers: ERR_NGROK_3200", "this tunnel is offline: restart it"},
		"tunnel without service":         {behind(reply{502, "Ngrok-Error-Code: ERR_NGROK_8012", page}), "public URL", doctor.Failed, "ngrok itself answers: ERR_NGROK_8012", "LISTEN_ADDR"},
		"tunnel over its limit":          {behind(reply{429, "Ngrok-Error-Code: ERR_NGROK_727", page}), "public URL", doctor.Failed, "ngrok itself answers: ERR_NGROK_727", "https://ngrok.com/docs/errors/err_ngrok_727"},
		"another server, 404":            {behind(reply{404, "", "nothing"}), "public URL", doctor.Failed, "another server answers 404", "LISTEN_ADDR"},
		"another server, 405":            {behind(reply{405, "", ""}), "public URL", doctor.Failed, "does not accept POST", "LISTEN_ADDR"},
		"another server, 200":            {behind(reply{200, "", "ok"}), "public URL", doctor.Failed, "something other than the service", "PUBLIC_URL"},
		"another server, 400":            {behind(reply{400, "", "ok"}), "public URL", doctor.Failed, "it answers 400 instead of 200", "PUBLIC_URL"},
	})
}

func TestPublicURLSettings(t *testing.T) {
	service := newFixture(t).env["PUBLIC_URL"]
	agent := programtest.Serve(t, reply{200, "Content-Type: application/json", `{"tunnels":[{"public_url":"` + service + `","config":{"addr":"127.0.0.1:0"}}]}`})
	stripping := programtest.Serve(t, http.StripPrefix("/app", serve))
	for name, tt := range map[string]struct {
		env           map[string]string
		status        doctor.Status
		found, remedy string
		subscription  doctor.Status
	}{
		"none": {map[string]string{"PUBLIC_URL": ""},
			doctor.Warning, "by the poll, every 2s", "set PUBLIC_URL", doctor.Skipped},
		"ngrok tunnel": {map[string]string{"PUBLIC_URL": "", "TUNNEL": "ngrok", "NGROK_AUTHTOKEN": secret},
			doctor.Skipped, "TUNNEL=ngrok there is a URL only while outlook-monitor serve runs", "", doctor.Skipped},
		"agent with a tunnel": {map[string]string{"PUBLIC_URL": "", "TUNNEL": "agent", "MONITOR_TOKEN": secret, "NGROK_AGENT_URL": agent},
			doctor.OK, "the handshake works at " + service, "", doctor.OK},
		"agent without a tunnel": {map[string]string{"PUBLIC_URL": "", "TUNNEL": "agent", "MONITOR_TOKEN": secret, "NGROK_AGENT_URL": "http://127.0.0.1:1"},
			doctor.Failed, "the agent does not answer", "start it with: ngrok http 0", doctor.Skipped},
		"proxy that strips a prefix": {map[string]string{"PUBLIC_URL": stripping + "/app/"},
			doctor.OK, "the handshake works at " + stripping + "/app", "", doctor.OK},
		"this machine not in PUBLIC_ALLOW": {map[string]string{"PUBLIC_URL": programtest.Serve(t, reply{status: 403}), "PUBLIC_ALLOW": "192.0.2.1"},
			doctor.Warning, "PUBLIC_ALLOW excludes this machine", "--subscribe", doctor.OK},
		"no certificate from ACME yet": {map[string]string{"PUBLIC_URL": "https://monitor.example.com", "ACME_DOMAINS": "monitor.example.com"},
			doctor.Skipped, "only the running service has the certificate", "", doctor.Skipped},
	} {
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
}
