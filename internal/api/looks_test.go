package api_test

import (
	"context"
	"strings"
	"testing"

	"outlook-monitor/internal/ooo"
)

func TestHEADAnswersAsGETWithoutABody(t *testing.T) {
	w := newWorld()
	w.add(named("ann@contoso.example"))
	base := serve(t, w)
	for _, path := range []string{"/api/users", "/api/users/ann@contoso.example", "/api/users/ann@contoso.example/", "/api/users/nobody@contoso.example",
		"/api/users/ann@contoso.example/history", "/metrics", "/healthz"} {
		got, _ := get(path).send(t, base)
		h, body := head(path).send(t, base)
		if h.StatusCode != got.StatusCode || body != "" || h.Header.Get("Content-Type") != got.Header.Get("Content-Type") {
			t.Errorf("HEAD %s = %d %q, want %d as GET and no body", path, h.StatusCode, body, got.StatusCode)
		}
	}
	if response, _ := head("/monitor").send(t, base); response.StatusCode != 405 {
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
	answer, body := get("/api/users?cursor=garbage").ask(over(t, w, paging{w}, w))
	if answer.Code != 400 || !strings.Contains(body, "cursor") {
		t.Errorf("answer to a cursor that is none = %d %s, want 400 that says so", answer.Code, body)
	}
	if answer, body = get("/api/users").ask(over(t, w, paging{w}, w)); answer.Code != 200 || !strings.Contains(body, "ann@") {
		t.Errorf("answer without one = %d %s, want the users", answer.Code, body)
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
	const user = "/api/users/ann@contoso.example"
	for _, r := range []request{get(user), get(user + "/history"), post(user + "/check"), post(user + "/resend")} {
		if answer, body := r.ask(handler); answer.Code != 404 {
			t.Errorf("%s %s = %d %s, want 404", r.method, r.path, answer.Code, body)
		}
	}
	if answer, body := get("/api/users").ask(handler); answer.Code != 200 || strings.Contains(body, "ann@") {
		t.Errorf("list = %d %s, want it without the user", answer.Code, body)
	}
	if answer, _ := remove("/api/users/ann@contoso.example").ask(handler); answer.Code != 204 {
		t.Errorf("DELETE = %d, want 204", answer.Code)
	}
}
