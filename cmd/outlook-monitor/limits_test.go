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
func (tb *testbed) dial(method, path string, header ...string) net.Conn {
	tb.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(tb.base, "http://"))
	if err != nil {
		tb.t.Fatal(err)
	}
	tb.t.Cleanup(func() { _ = conn.Close() })
	head := append([]string{method + " " + path + " HTTP/1.1", "Host: localhost", "Content-Type: application/json"}, header...)
	_, _ = io.WriteString(conn, strings.Join(head, "\r\n")+"\r\n\r\n")
	return conn
}

// statusWithoutBody sends a request with an incomplete body and returns the status.
func (tb *testbed) statusWithoutBody(method, path string, header ...string) string {
	tb.t.Helper()
	conn := tb.dial(method, path, header...)
	defer conn.Close()
	_, _ = io.WriteString(conn, "{")
	answer := make([]byte, len("HTTP/1.1 413"))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err.Error()
	}
	return strings.TrimPrefix(string(answer), "HTTP/1.1 ")
}

// TestSlowClientsDoNotBlockNotifications leaves many requests incomplete, and sends short ones in
// between. Open requests must not prevent the program from stopping.
func TestSlowClientsDoNotBlockNotifications(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, "", graphsim.Config{Seed: 62})
	p := tb.start("serve")
	tb.waitReady()
	const notifications = "/graph/notifications"
	for name, slow := range map[string]struct {
		times        int
		path, length string
	}{
		"8 with a length of 4 MiB": {8, notifications, "Content-Length: 4194304"},
		"8 without a length":       {8, notifications, "Transfer-Encoding: chunked"},
		"300 with a short length":  {300, notifications, "Content-Length: 9"},
		"200 to /monitor":          {200, "/monitor", "Content-Length: 9"},
	} {
		for range slow.times {
			tb.dial(http.MethodPost, slow.path, slow.length)
		}
		for range 10 {
			if status, answer := tb.post(notifications, `{"value":[]}`); status != http.StatusAccepted {
				t.Errorf("%s: a notification = %d %q, want 202", name, status, answer)
			}
			if status, answer := tb.post("/monitor", `{"email":"nobody@contoso.example","status":"False"}`); status != http.StatusOK {
				t.Errorf("%s: a monitor request = %d %q, want 200", name, status, answer)
			}
		}
	}
	p.stop()
}

// TestUnauthenticatedRequestsCauseNoSync sends hundreds of requests without a token to private
// paths.
func TestUnauthenticatedRequestsCauseNoSync(t *testing.T) {
	tb := newTestbed(t, "", graphsim.Config{Seed: 66})
	tb.env["MONITOR_TOKEN"] = "0123456789abcdef"
	p := tb.start("serve")
	tb.waitReady()
	tb.eventually("the sync at the start", func() bool { return tb.mediator.Setups() > 0 })
	before := tb.mediator.Setups()
	for range 200 {
		for _, path := range []string{"/api/users", "/monitor", "/ui/api/users", "/api/users/ann@contoso.example/check"} {
			if status := tb.statusWithoutBody(http.MethodPost, path, "Content-Length: 9"); status != "401" {
				t.Fatalf("POST %s without a token = %s, want 401 before the body is read", path, status)
			}
		}
	}
	if after := tb.mediator.Setups(); after != before {
		t.Errorf("%d more syncs with the mediator, want none", after-before)
	}
	p.stop()
}

// TestOversizedBodiesAreRejectedUnread announces bodies that it does not send.
func TestOversizedBodiesAreRejectedUnread(t *testing.T) {
	tb := newTestbed(t, "", graphsim.Config{Seed: 63})
	p := tb.start("serve")
	tb.waitReady()
	for request, most := range map[string]int{
		"POST /monitor": 64 << 10, "POST /api/users": 4 << 20, "POST /graph/notifications": 4 << 20,
		"PUT /api/users/ann@contoso.example": 64 << 10, "DELETE /api/users/ann@contoso.example": 64 << 10,
		"POST /api/users/ann@contoso.example/check": 64 << 10, "PUT /ui/api/users/ann@contoso.example": 64 << 10, "POST /ui/api/users": 4 << 20,
		"POST /graph/notifications?xvalidationToken=1": 4 << 20, // not a handshake
	} {
		method, path, _ := strings.Cut(request, " ")
		if status := tb.statusWithoutBody(method, path, fmt.Sprintf("Content-Length: %d", most+1)); status != "413" {
			t.Errorf("%s = %s, want 413 before the body is read", request, status)
		}
	}
	p.stop()
}
