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

	"outlook-monitor/internal/programtest"
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

// withAuthorization returns a request with an Authorization header.
func withAuthorization(authorization string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", authorization)
	return r
}

func TestAdmits(t *testing.T) {
	basic := func(user, password string) string {
		r := withAuthorization("")
		r.SetBasicAuth(user, password)
		return r.Header.Get("Authorization")
	}
	for authorization, want := range map[string]bool{
		"": false, "Bearer the-token": true, "bearer the-token": true, "Bearer the-tokex": false, "Bearer ": false,
		"Bearer the-token-and-more": false, basic("mediator", token): true, basic("", token): true, basic(token, ""): false,
		"Digest the-token": false, token: false,
	} {
		if got := access(server.AccessConfig{Token: token}).Admits(withAuthorization(authorization)); got != want {
			t.Errorf("Admits %q = %t, want %t", authorization, got, want)
		}
		if !access(server.AccessConfig{}).Admits(withAuthorization(authorization)) {
			t.Errorf("Admits %q = false without a configured token, want true", authorization)
		}
	}
}

func TestWrongTokensAreDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := programtest.Logger()
		var counted atomic.Int32
		a := access(server.AccessConfig{Token: token, Wrong: func() { counted.Add(1) }, Log: log, Proxies: networks("10.0.0.0/8")})
		try := func(peer, forwarded, shown string) time.Duration {
			t.Helper()
			r := withAuthorization("Bearer " + shown)
			r.RemoteAddr = peer
			r.Header.Set("X-Forwarded-For", forwarded)
			began := time.Now()
			if got := a.Admits(r); got != (shown == token) {
				t.Errorf("Admits %s = %t, want %t", shown, got, !got)
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
			t.Errorf("a wrong token with a forged header took %v, want a delay of at most 5 s", took)
		}
		if lines := strings.Count(out.String(), "\n"); lines != 1 || strings.Contains(out.String(), token) {
			t.Errorf("log = %s, want one line and no token", out)
		}
		time.Sleep(time.Minute)
		try(here, "", "wrong")
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[1], "count=1012") || counted.Load() != 1013 {
			t.Errorf("log = %q after %d, want a second line a minute later with count=1012", lines, counted.Load())
		}
	})
}

func TestForbidden(t *testing.T) {
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
		"no browser":         {request("POST", "/monitor"), false},
		"other site":         {request("POST", "/monitor", site, "cross-site"), true},
		"old browser":        {request("POST", "/monitor", origin, "https://evil.example"), true},
		"null origin":        {request("PUT", "/api/loglevel", origin, "null"), true},
		"same origin":        {request("DELETE", "/ui/api/users/a@b.example", site, "same-origin"), false},
		"sync, other site":   {request("GET", "/", site, "cross-site"), true},
		"sync, sibling site": {request("GET", "/", site, "same-site"), true},
		"sync, old browser":  {request("GET", "/", origin, "https://evil.example"), true},
		"sync, bookmark":     {request("GET", "/", site, "none"), false},
		"GET, other site":    {request("GET", "/api/users", site, "cross-site"), false},
		"any host name":      {request("GET", "http://monitor.example/api/users"), false},
	} {
		if got := withToken.Forbidden(tt.r); (got != "") != tt.forbidden {
			t.Errorf("%s: Forbidden = %q, want forbidden: %t", name, got, tt.forbidden)
		}
	}
	for host, loopback := range map[string]bool{
		"localhost": true, "LOCALHOST:8080": true, "localhost.": true, "127.0.0.1:80": true, "127.9.9.9": true, "[::1]:8080": true,
		"[::1]": true, "[::ffff:127.0.0.1]:80": true,
		"evil.example": false, "localhost.evil.example:80": false, "10.0.0.1:8080": false, "": false, "0.0.0.0": false,
	} {
		r := request("GET", "/api/users")
		r.Host = host
		if got := access(server.AccessConfig{}).Forbidden(r); (got == "") != loopback {
			t.Errorf("without a token, host %q: Forbidden = %q, want allowed: %t", host, got, loopback)
		}
		if got := access(server.AccessConfig{AnyHost: true}).Forbidden(r); got != "" {
			t.Errorf("without a token, AnyHost, host %q: Forbidden = %q, want allowed", host, got)
		}
	}
}

func TestSecure(t *testing.T) {
	proxied := server.AccessConfig{Proxies: networks("192.0.2.1/32")}
	for name, tt := range map[string]struct {
		cfg             server.AccessConfig
		peer, forwarded string
		want            bool
	}{
		"plain":                   {server.AccessConfig{}, here, "", false},
		"proxy":                   {server.AccessConfig{}, here, "https", true},
		"trusted proxy":           {proxied, here, "HTTPS", true},
		"two trusted proxies":     {proxied, here, "https, http", true},
		"plain, by trusted proxy": {proxied, here, "http", false},
		"untrusted proxy":         {proxied, there, "https", false},
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
