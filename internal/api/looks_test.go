package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"outlook-monitor/internal/ooo"
)

// answer is what a handler says to a request without a body.
func answer(t *testing.T, handler http.Handler, method, path string) (status int, body string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return recorder.Code, recorder.Body.String()
}

func TestHEADAnswersAsGETWithoutABody(t *testing.T) {
	w := newWorld()
	w.add(named("ann@contoso.example"))
	base := serve(t, w)
	for _, path := range []string{"/api/users", "/api/users/ann@contoso.example", "/api/users/ann@contoso.example/", "/api/users/nobody@contoso.example",
		"/api/users/ann@contoso.example/history", "/metrics", "/healthz"} {
		got, _ := request{method: http.MethodGet, path: path}.send(t, base)
		head, body := request{method: http.MethodHead, path: path}.send(t, base)
		if head.StatusCode != got.StatusCode || body != "" || head.Header.Get("Content-Type") != got.Header.Get("Content-Type") {
			t.Errorf("HEAD %s = %d %q, want %d as GET and no body", path, head.StatusCode, body, got.StatusCode)
		}
	}
	if response, _ := (request{method: http.MethodHead, path: "/monitor"}).send(t, base); response.StatusCode != 405 {
		t.Errorf("HEAD /monitor = %d, want 405: it does not answer GET either", response.StatusCode)
	}
}

// paging is a store that knows its cursors.
type paging struct{ *world }

func (p paging) Users(ctx context.Context, limit int, cursor string) ([]ooo.User, string, error) {
	if cursor != "" {
		return nil, "", ooo.ErrBadCursor
	}
	return p.world.Users(ctx, limit, cursor)
}

func TestACursorThatIsNoneIsToldSo(t *testing.T) {
	w := newWorld()
	w.add(named("ann@contoso.example"))
	status, body := answer(t, over(t, w, paging{w}, w), http.MethodGet, "/api/users?cursor=garbage")
	if status != 400 || !strings.Contains(body, "cursor") {
		t.Errorf("answer to a cursor that is none = %d %s, want 400 that says so", status, body)
	}
	if status, body = answer(t, over(t, w, paging{w}, w), http.MethodGet, "/api/users"); status != 200 || !strings.Contains(body, "ann@") {
		t.Errorf("answer without one = %d %s, want the users", status, body)
	}
}

// TestAUserWhoWasStoppedIsNoLongerKnown has a user whose record remains until its
// subscriptions are deleted.
func TestAUserWhoWasStoppedIsNoLongerKnown(t *testing.T) {
	w := newWorld()
	w.add(named("ann@contoso.example"))
	wish := w.wishes["ann@contoso.example"]
	wish.On = false
	w.wishes["ann@contoso.example"] = wish
	handler := handler(t, w)
	for call, want := range map[string]int{
		"GET /api/users/ann@contoso.example": 404, "GET /api/users/ann@contoso.example/history": 404,
		"POST /api/users/ann@contoso.example/check": 404, "POST /api/users/ann@contoso.example/resend": 404,
	} {
		method, path, _ := strings.Cut(call, " ")
		if status, body := answer(t, handler, method, path); status != want {
			t.Errorf("%s = %d %s, want %d", call, status, body, want)
		}
	}
	if status, body := answer(t, handler, http.MethodGet, "/api/users"); status != 200 || strings.Contains(body, "ann@") {
		t.Errorf("list = %d %s, want it without the user", status, body)
	}
	if status, _ := answer(t, handler, http.MethodDelete, "/api/users/ann@contoso.example"); status != 204 {
		t.Errorf("DELETE = %d, want 204", status)
	}
}
