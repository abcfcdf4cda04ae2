package ui_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/ui"
)

const token = "the token"

// login shows a token to the form.
func login(t *testing.T, base, shown string, header map[string]string) *http.Response {
	t.Helper()
	all := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	for name, value := range header {
		all[name] = value
	}
	response, _ := request{"POST", "/ui/login", url.Values{"token": {shown}}.Encode(), all}.send(t, base)
	return response
}

// session is the cookie that the right token gives.
func session(t *testing.T, base string) *http.Cookie {
	t.Helper()
	cookies := login(t, base, token, nil).Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies after login = %v, want one", cookies)
	}
	return cookies[0]
}

func TestWhoComesIn(t *testing.T) {
	base := (&world{token: token}).serve(t)
	cookie := session(t, base)
	forged := []byte(cookie.Value)
	forged[3] ^= 1
	elsewhere := session(t, (&world{token: token}).serve(t)) // another replica
	other := func() string {
		w := &world{token: "another token"}
		return login(t, w.serve(t), "another token", nil).Cookies()[0].Value
	}()
	tests := map[string]struct {
		name, value string
		status      int
	}{
		"nobody":                          {"X-None", "", 401},
		"a session":                       {"Cookie", cookie.Name + "=" + cookie.Value, 200},
		"a session of another replica":    {"Cookie", elsewhere.Name + "=" + elsewhere.Value, 200},
		"a session that was changed":      {"Cookie", cookie.Name + "=" + string(forged), 401},
		"a session of another token":      {"Cookie", cookie.Name + "=" + other, 401},
		"a session that is cut":           {"Cookie", cookie.Name + "=" + cookie.Value[:20], 401},
		"the token itself as a session":   {"Cookie", cookie.Name + "=" + url.QueryEscape(token), 401},
		"the token as bearer":             {"Authorization", "Bearer " + token, 200},
		"the token as a password":         {"Authorization", "Basic b3BlcmF0b3I6dGhlIHRva2Vu", 200},
		"a wrong bearer":                  {"Authorization", "Bearer wrong", 401},
		"the token in an unknown scheme":  {"Authorization", "Digest " + token, 401},
		"an empty bearer":                 {"Authorization", "Bearer ", 401},
		"an empty session and no more":    {"Cookie", cookie.Name + "=", 401},
		"another cookie with our session": {"Cookie", "other=" + cookie.Value, 401},
	}
	for name, tt := range tests {
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

func TestTheSessionIsWellKept(t *testing.T) {
	base := (&world{token: token}).serve(t)
	plain := session(t, base)
	if !plain.HttpOnly || plain.SameSite != http.SameSiteStrictMode || plain.Secure || plain.Path != "" {
		t.Errorf("cookie = %v, want it for this page alone, strictly", plain)
	}
	if strings.Contains(plain.Value, token) {
		t.Error("the cookie has the token in it")
	}
	secure := login(t, base, token, map[string]string{"X-Forwarded-Proto": "https"}).Cookies()[0]
	if !secure.Secure {
		t.Error("behind a proxy that speaks https the cookie is not Secure")
	}
	response, _ := request{"POST", "/ui/logout", "", nil}.send(t, base)
	if gone := response.Cookies()[0]; gone.Value != "" || gone.MaxAge > 0 || response.StatusCode != http.StatusSeeOther {
		t.Errorf("logout = %d %v, want the cookie taken away", response.StatusCode, gone)
	}
}

// TestWrongLoginsLockNobodyOut has many guess at once.
func TestWrongLoginsLockNobodyOut(t *testing.T) {
	base := (&world{token: token}).serve(t)
	var answered atomic.Int32
	var guessing sync.WaitGroup
	for range 8 {
		guessing.Go(func() {
			if status := login(t, base, "a guess", nil).StatusCode; status != http.StatusUnauthorized {
				t.Errorf("a guess = %d, want 401", status)
			}
			answered.Add(1)
		})
	}
	for answered.Load() < 4 {
		time.Sleep(10 * time.Millisecond)
	}
	if response := login(t, base, token, nil); response.StatusCode != http.StatusSeeOther || answered.Load() == 8 {
		t.Errorf("the right token = %d after %d of 8 guesses, want 303 while some wait", response.StatusCode, answered.Load())
	}
	guessing.Wait()
}

func TestWithoutATokenNobodyIsAsked(t *testing.T) {
	base := (&world{}).serve(t)
	if response, body := (request{"GET", "/ui/", "", nil}).send(t, base); response.StatusCode != 200 || !strings.Contains(body, "main.js") {
		t.Errorf("GET /ui/ = %d, want the page", response.StatusCode)
	}
}

func TestOnlyTheHostsThatAreAllowedAreServed(t *testing.T) {
	w := &world{loopback: true}
	_, handler := w.page(t)
	for host, want := range map[string]int{"localhost": 200, "evil.example": 403} {
		answer, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", "/ui/api/users", nil)
		r.Host = host
		if handler.ServeHTTP(answer, r); answer.Code != want {
			t.Errorf("GET of %s = %d, want %d", host, answer.Code, want)
		}
	}
}

func TestOnlyThePageItselfMayChangeThings(t *testing.T) {
	base := (&world{token: token}).serve(t)
	auth := "Bearer " + token
	tests := map[string]struct {
		method, path string
		header       map[string]string
		status       int
	}{
		"the page":                {"DELETE", "/ui/api/users/a@b.example", map[string]string{"Authorization": auth, "Sec-Fetch-Site": "same-origin"}, 200},
		"a program":               {"DELETE", "/ui/api/users/a@b.example", map[string]string{"Authorization": auth}, 200},
		"another site":            {"DELETE", "/ui/api/users/a@b.example", map[string]string{"Authorization": auth, "Sec-Fetch-Site": "cross-site"}, 403},
		"an old browser":          {"POST", "/ui/api/users/a@b.example/check", map[string]string{"Authorization": auth, "Origin": "https://evil.example"}, 403},
		"a login from elsewhere":  {"POST", "/ui/login", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		"a look from elsewhere":   {"GET", "/ui/api/users", map[string]string{"Authorization": auth, "Sec-Fetch-Site": "cross-site"}, 200},
		"a logout from elsewhere": {"POST", "/ui/logout", map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if response, body := (request{tt.method, tt.path, "", tt.header}).send(t, base); response.StatusCode != tt.status {
				t.Errorf("status = %d %s, want %d", response.StatusCode, body, tt.status)
			}
		})
	}
}

func TestAPageNeedsAStoreAndAnAPI(t *testing.T) {
	if _, err := ui.New(ui.Config{}); err == nil {
		t.Error("New = nil, want an error")
	}
}
