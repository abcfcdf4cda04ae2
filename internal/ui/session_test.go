package ui_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const token = "the token"

// login submits the login form, as a proxy passes it on that was called over scheme.
func login(t *testing.T, base, token, scheme string) *http.Response {
	t.Helper()
	header := map[string]string{"Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-Proto": scheme}
	response, _ := request{"POST", "/ui/login", url.Values{"token": {token}}.Encode(), header}.send(t, base)
	return response
}

// session logs in and returns the cookie.
func session(t *testing.T, base string) *http.Cookie {
	t.Helper()
	cookies := login(t, base, token, "http").Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies after login = %v, want one", cookies)
	}
	return cookies[0]
}

func TestAuthentication(t *testing.T) {
	base := (&fixture{token: token}).serve(t)
	cookie := session(t, base)
	forged := []byte(cookie.Value)
	forged[3] ^= 1
	otherReplica := session(t, (&fixture{token: token}).serve(t))
	otherToken := login(t, (&fixture{token: "another token"}).serve(t), "another token", "http").Cookies()[0].Value
	for name, tt := range map[string]struct {
		name, value string
		status      int
	}{
		"nothing":                       {"X-None", "", 401},
		"session":                       {"Cookie", cookie.Name + "=" + cookie.Value, 200},
		"session from another replica":  {"Cookie", otherReplica.Name + "=" + otherReplica.Value, 200},
		"modified session":              {"Cookie", cookie.Name + "=" + string(forged), 401},
		"session signed with old token": {"Cookie", cookie.Name + "=" + otherToken, 401},
		"truncated session":             {"Cookie", cookie.Name + "=" + cookie.Value[:20], 401},
		"token as session":              {"Cookie", cookie.Name + "=" + url.QueryEscape(token), 401},
		"session in another cookie":     {"Cookie", "other=" + cookie.Value, 401},
		"wrong bearer token":            {"Authorization", "Bearer wrong", 401},
	} {
		t.Run(name, func(t *testing.T) {
			response, body := request{"GET", "/ui/api/summary", "", map[string]string{tt.name: tt.value}}.send(t, base)
			if response.StatusCode != tt.status {
				t.Errorf("status = %d %s, want %d", response.StatusCode, body, tt.status)
			}
			if tt.status == 401 && response.Header.Get("WWW-Authenticate") == "" {
				t.Error("WWW-Authenticate is missing")
			}
		})
	}
}

func TestSessionCookie(t *testing.T) {
	f := &fixture{token: token}
	base := f.serve(t)
	if response := login(t, base, "a guess", "http"); response.StatusCode != http.StatusUnauthorized || f.wrongTokens.Load() != 1 || len(response.Cookies()) != 0 {
		t.Errorf("login with a wrong token = %d with %v, counted %d times, want 401 and once", response.StatusCode, response.Cookies(), f.wrongTokens.Load())
	}
	plain := session(t, base)
	if !plain.HttpOnly || plain.SameSite != http.SameSiteStrictMode || plain.Secure || plain.Path != "" {
		t.Errorf("cookie = %v, want it HttpOnly, strict and without a path", plain)
	}
	if strings.Contains(plain.Value, token) {
		t.Error("the cookie contains the token")
	}
	secure := login(t, base, token, "https").Cookies()[0]
	if !secure.Secure {
		t.Error("the cookie is not Secure although the proxy was called over https")
	}
	response, _ := request{"POST", "/ui/logout", "", nil}.send(t, base)
	if deleted := response.Cookies()[0]; deleted.Value != "" || deleted.MaxAge > 0 || response.StatusCode != http.StatusSeeOther {
		t.Errorf("logout = %d %v, want the cookie deleted", response.StatusCode, deleted)
	}
}
