package main_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"outlook-monitor/internal/graphsim"
)

// dial opens a connection to the program and sends the beginning of a request.
func (w *surroundings) dial(method, path string, header ...string) net.Conn {
	w.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.base, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	head := append([]string{method + " " + path + " HTTP/1.1", "Host: localhost", "Content-Type: application/json"}, header...)
	_, _ = io.WriteString(conn, strings.Join(head, "\r\n")+"\r\n\r\n")
	return conn
}

// refused sends a request with a body that doesn't come, and says which status it gets.
func (w *surroundings) refused(method, path string, header ...string) string {
	w.t.Helper()
	conn := w.dial(method, path, header...)
	defer conn.Close()
	_, _ = io.WriteString(conn, "{")
	answer := make([]byte, len("HTTP/1.1 413"))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err.Error()
	}
	return strings.TrimPrefix(string(answer), "HTTP/1.1 ")
}

// TestSlowSendersStopNoNotifications leaves requests half sent, over and over, and
// has short ones come between them. Those that are open at the end don't keep the
// program from ending.
func TestSlowSendersStopNoNotifications(t *testing.T) {
	t.Parallel()
	w := world(t, "", graphsim.Config{Seed: 62})
	p := w.start("serve")
	w.answers()
	const form, notifications = "application/json", "/graph/notifications"
	for name, slow := range map[string]struct {
		times        int
		path, length string
	}{
		"8 that declare 4 MiB":    {8, notifications, "Content-Length: 4194304"},
		"8 that declare nothing":  {8, notifications, "Transfer-Encoding: chunked"},
		"300 that declare little": {300, notifications, "Content-Length: 9"},
		"200 of the mediator's":   {200, "/monitor", "Content-Length: 9"},
	} {
		for range slow.times {
			w.dial(http.MethodPost, slow.path, slow.length)
		}
		for range 10 {
			if status, answer := w.post(notifications, `{"value":[]}`); status != http.StatusAccepted {
				t.Errorf("%s: a notification = %d %q, want 202", name, status, answer)
			}
			if status, answer := w.post("/monitor", `{"email":"nobody@contoso.example","status":"False"}`); status != http.StatusOK {
				t.Errorf("%s: a monitor request = %d %q, want 200", name, status, answer)
			}
		}
	}
	p.stop()
}

// TestStrangersMakeTheServiceOweNothing begins requests by the hundred that only the
// mediator and operators may make.
func TestStrangersMakeTheServiceOweNothing(t *testing.T) {
	w := world(t, "", graphsim.Config{Seed: 66})
	w.env["MONITOR_TOKEN"] = "0123456789abcdef"
	p := w.start("serve")
	w.answers()
	w.eventually("the start asks for the users", func() bool { return w.mediator.Setups() > 0 })
	before := w.mediator.Setups()
	for range 200 {
		for _, path := range []string{"/api/users", "/monitor", "/ui/api/users", "/api/users/ann@contoso.example/check"} {
			if status := w.refused(http.MethodPost, path, "Content-Length: 9"); status != "401" {
				t.Fatalf("answer to a stranger's POST %s = %s, want 401 without a look at its body", path, status)
			}
		}
	}
	if after := w.mediator.Setups(); after != before {
		t.Errorf("the mediator was asked for its users %d times more, want none", after-before)
	}
	p.stop()
}

// TestWhatIsTooLongIsRefusedUnread declares bodies that never come.
func TestWhatIsTooLongIsRefusedUnread(t *testing.T) {
	w := world(t, "", graphsim.Config{Seed: 63})
	p := w.start("serve")
	w.answers()
	for request, most := range map[string]int{
		"POST /monitor": 64 << 10, "POST /api/users": 4 << 20, "POST /graph/notifications": 4 << 20,
		"PUT /api/users/ann@contoso.example": 64 << 10, "DELETE /api/users/ann@contoso.example": 64 << 10,
		"POST /api/users/ann@contoso.example/check": 64 << 10, "PUT /ui/api/users/ann@contoso.example": 64 << 10, "POST /ui/api/users": 4 << 20,
		"POST /graph/notifications?xvalidationToken=1": 4 << 20, // is no handshake
	} {
		method, path, _ := strings.Cut(request, " ")
		if status := w.refused(method, path, fmt.Sprintf("Content-Length: %d", most+1)); status != "413" {
			t.Errorf("answer to %s = %s, want 413 without a look at its body", request, status)
		}
	}
	p.stop()
}
