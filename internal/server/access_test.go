package server_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/server"
)

const token = "the-token"

func access(cfg server.AccessConfig) *server.Access {
	if cfg.Wrong == nil {
		cfg.Wrong = func() {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return server.NewAccess(cfg)
}

// showing is a request with an Authorization header.
func showing(authorization string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", authorization)
	return r
}

func TestWhoIsAdmitted(t *testing.T) {
	basic := func(user, password string) string {
		r := showing("")
		r.SetBasicAuth(user, password)
		return r.Header.Get("Authorization")
	}
	for authorization, want := range map[string]bool{
		"": false, "Bearer the-token": true, "bearer the-token": true, "Bearer the-tokex": false, "Bearer ": false,
		"Bearer the-token-and-more": false, basic("mediator", token): true, basic("", token): true, basic(token, ""): false,
		"Digest the-token": false, token: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			if got := access(server.AccessConfig{Token: token}).Admits(showing(authorization)); got != want {
				t.Errorf("Admits %q = %t, want %t", authorization, got, want)
			}
			if !access(server.AccessConfig{}).Admits(showing(authorization)) {
				t.Errorf("Admits %q = false without a token, want true", authorization)
			}
		})
	}
}

func TestWrongTokensAreSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, told := logger()
		var counted atomic.Int32
		a := access(server.AccessConfig{Token: token, Wrong: func() { counted.Add(1) }, Log: log, Proxies: networks("10.0.0.0/8")})
		try := func(peer, forwarded, shown string) time.Duration {
			t.Helper()
			r := showing("Bearer " + shown)
			r.RemoteAddr = peer
			r.Header.Set("X-Forwarded-For", forwarded)
			began := time.Now()
			if got := a.Admits(r); got != (shown == token) {
				t.Errorf("Admits = %t of %s, want %t", got, shown, !got)
			}
			return time.Since(began)
		}
		for i := range 6 {
			if took, want := try(here, "", "wrong"), time.Duration(max(0, min(i-3, 1)))*time.Second; took != want {
				t.Errorf("wrong token %d took %v, want %v", i+1, took, want)
			}
		}
		for range 1000 {
			go try(here, "", "wrong")
		}
		synctest.Wait()
		for _, from := range []string{here, there} {
			if took := try(from, "", token); took != 0 {
				t.Errorf("the right token took %v among 1,000 wrong ones, want no time", took)
			}
		}
		for range 4 {
			if took := try("10.0.0.1:1", "198.51.100.1", "wrong"); took != 0 {
				t.Errorf("a wrong token of another source took %v, want no time", took)
			}
		}
		if took := try("10.0.0.1:1", "198.51.100.3", "wrong"); took != 0 {
			t.Errorf("a wrong token of another source behind the same proxy took %v, want no time", took)
		}
		if took := try(here, "198.51.100.2", "wrong"); took == 0 || took > 5*time.Second {
			t.Errorf("a wrong token of a source that pretends took %v, want it to wait, but not for long", took)
		}
		if lines := strings.Count(told.String(), "\n"); lines != 1 || strings.Contains(told.String(), "wrong ") && strings.Contains(told.String(), token) {
			t.Errorf("log = %s, want one line and no token", told)
		}
		time.Sleep(time.Minute)
		try(here, "", "wrong")
		if lines := strings.Split(strings.TrimSpace(told.String()), "\n"); len(lines) != 2 || !strings.Contains(lines[1], "count=1012") || counted.Load() != 1013 {
			t.Errorf("log = %q after %d, want a second line a minute later that counts 1,012", lines, counted.Load())
		}
	})
}

func TestWhatIsForbidden(t *testing.T) {
	request := func(method, target string, header ...string) *http.Request {
		r := httptest.NewRequest(method, target, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r
	}
	const site, origin = "Sec-Fetch-Site", "Origin"
	withToken := access(server.AccessConfig{Token: token})
	for name, tt := range map[string]struct {
		r         *http.Request
		forbidden bool
	}{
		"a program":               {request("POST", "/monitor"), false},
		"a page of another site":  {request("POST", "/monitor", site, "cross-site"), true},
		"an old browser":          {request("POST", "/monitor", origin, "https://evil.example"), true},
		"no origin at all":        {request("PUT", "/api/loglevel", origin, "null"), true},
		"our own page":            {request("DELETE", "/ui/api/users/a@b.example", site, "same-origin"), false},
		"a sync":                  {request("GET", "/", site, "cross-site"), true},
		"a sync of a sibling":     {request("GET", "/", site, "same-site"), true},
		"a sync by an old one":    {request("GET", "/", origin, "https://evil.example"), true},
		"a sync from a bookmark":  {request("GET", "/", site, "none"), false},
		"a look":                  {request("GET", "/api/users", site, "cross-site"), false},
		"under any name, by code": {request("GET", "http://monitor.example/api/users"), false},
	} {
		if got := withToken.Forbidden(tt.r); (got != "") != tt.forbidden {
			t.Errorf("%s: Forbidden = %q, want it forbidden: %t", name, got, tt.forbidden)
		}
	}
	for host, loopback := range map[string]bool{
		"localhost": true, "LOCALHOST:8080": true, "localhost.": true, "127.0.0.1:80": true, "127.9.9.9": true, "[::1]:8080": true, "[::1]": true,
		"[::ffff:127.0.0.1]:80": true, "evil.example": false, "localhost.evil.example:80": false, "10.0.0.1:8080": false, "": false, "0.0.0.0": false,
	} {
		r := request("GET", "/api/users")
		r.Host = host
		if got := access(server.AccessConfig{}).Forbidden(r); (got == "") != loopback {
			t.Errorf("without a token %q: Forbidden = %q, want it served: %t", host, got, loopback)
		}
		if got := access(server.AccessConfig{AnyHost: true}).Forbidden(r); got != "" {
			t.Errorf("without a token, any host, %q: Forbidden = %q, want it served", host, got)
		}
	}
}

func TestWhoComesEncrypted(t *testing.T) {
	proxied := server.AccessConfig{Proxies: networks("192.0.2.1/32")}
	for name, tt := range map[string]struct {
		cfg             server.AccessConfig
		peer, forwarded string
		want            bool
	}{
		"plainly":                           {server.AccessConfig{}, here, "", false},
		"by a proxy":                        {server.AccessConfig{}, here, "https", true},
		"by a trusted proxy":                {proxied, here, "HTTPS", true},
		"by two of them":                    {proxied, here, "https, http", true},
		"plainly, by a trusted proxy":       {proxied, here, "http", false},
		"by one who is not a trusted proxy": {proxied, there, "https", false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/ui/", nil)
		r.RemoteAddr = tt.peer
		r.Header.Set("X-Forwarded-Proto", tt.forwarded)
		if got := access(tt.cfg).Secure(r); got != tt.want {
			t.Errorf("%s: Secure = %t, want %t", name, got, tt.want)
		}
	}
	if r := httptest.NewRequest(http.MethodGet, "https://a.example/", nil); !access(proxied).Secure(r) {
		t.Error("Secure = false over TLS, want true")
	}
}

func TestWhatIsReachedThroughATunnel(t *testing.T) {
	only, fenced := server.Only(http.HandlerFunc(accepted), notifications), server.Fence(http.HandlerFunc(accepted), notifications)
	none := map[string]string{}
	for name, tt := range map[string]struct {
		handler   http.Handler
		host, url string
		header    map[string]string
		status    int
	}{
		"Graph's path":                           {only, "ours.ngrok.app", notifications + "?validationToken=x", none, 202},
		"another path":                           {only, "127.0.0.1", "/api/users", none, 404},
		"a path below Graph's":                   {only, "ours.ngrok.app", notifications + "/", none, 404},
		"Graph's path, fenced":                   {fenced, "ours.ngrok.app", notifications, none, 202},
		"another path, fenced":                   {fenced, "ours.ngrok.app", "/api/users", none, 404},
		"in another letter case":                 {fenced, "Ours.NGROK.app", "/api/users", none, 404},
		"with a port":                            {fenced, "ours.ngrok.app:443", "/api/users", none, 404},
		"with a final dot":                       {fenced, "ours.ngrok.app.", "/api/users", none, 404},
		"with both":                              {fenced, "ours.ngrok.app.:443", "/api/users", none, 404},
		"another name that leads here":           {fenced, "monitor.example", "/api/users", none, 404},
		"no name":                                {fenced, "", "/api/users", none, 404},
		"an agent that writes another host":      {fenced, "localhost:8080", "/api/users", map[string]string{"X-Forwarded-Host": "ours.ngrok.app"}, 404},
		"an agent that says where it comes from": {fenced, "127.0.0.1:8080", "/", map[string]string{"X-Forwarded-For": "198.51.100.1"}, 404},
		"an agent that says how it comes":        {fenced, "127.0.0.1:8080", "/", map[string]string{"X-Forwarded-Proto": "https"}, 404},
		"a proxy of today":                       {fenced, "127.0.0.1:8080", "/", map[string]string{"Forwarded": "for=198.51.100.1"}, 404},
		"this machine":                           {fenced, "127.0.0.1:8080", "/api/users", none, 202},
		"this machine by name":                   {fenced, "localhost:8080", "/ui/", none, 202},
		"this machine over IPv6":                 {fenced, "[::1]:8080", "/api/users", none, 202},
		"a machine of the network":               {fenced, "192.168.1.5:8080", "/monitor", none, 202},
		"a name of the network":                  {fenced, "laptop.local:8080", "/monitor", none, 202},
		"a container":                            {fenced, "outlook-monitor:8080", "/monitor", none, 202},
	} {
		r := httptest.NewRequest(http.MethodPost, tt.url, nil)
		r.Host = tt.host
		for name, value := range tt.header {
			r.Header.Set(name, value)
		}
		answer := httptest.NewRecorder()
		if tt.handler.ServeHTTP(answer, r); answer.Code != tt.status {
			t.Errorf("%s: status = %d, want %d", name, answer.Code, tt.status)
		}
		if tt.status == 404 && answer.Body.String() != `{"error":"no such path"}` {
			t.Errorf("%s: body = %q, want the error in JSON", name, answer.Body)
		}
	}
}
