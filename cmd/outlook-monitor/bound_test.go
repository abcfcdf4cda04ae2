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

// TestSlowSendersStopNoNotifications leaves requests half sent, over and over, and
// has short ones come between them.
func TestSlowSendersStopNoNotifications(t *testing.T) {
	w := world(t, "", graphsim.Config{Seed: 62})
	p := w.start("serve")
	w.answers()
	half := func(path, length string) {
		t.Helper()
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"+length+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	const form, notifications = "application/json", "/graph/notifications"
	for name, leave := range map[string]func(){
		"8 that declare 4 MiB":    func() { many(8, half, notifications, "Content-Length: 4194304") },
		"8 that declare nothing":  func() { many(8, half, notifications, "Transfer-Encoding: chunked") },
		"300 that declare little": func() { many(300, half, notifications, "Content-Length: 9") },
		"200 of the mediator's":   func() { many(200, half, "/monitor", "Content-Length: 9") },
	} {
		leave()
		for range 10 {
			if status, answer := w.ask(http.MethodPost, notifications, form, `{"value":[]}`); status != http.StatusAccepted {
				t.Errorf("%s: a notification = %d %q, want 202", name, status, answer)
			}
			if status, answer := w.ask(http.MethodPost, "/monitor", form, `{"email":"nobody@contoso.example","status":"False"}`); status != http.StatusOK {
				t.Errorf("%s: a monitor request = %d %q, want 200", name, status, answer)
			}
		}
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
}

func many(n int, half func(path, length string), path, length string) {
	for range n {
		half(path, length)
	}
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
			conn, err := net.Dial("tcp", strings.TrimPrefix(w.base, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{", path)
			answer := make([]byte, len("HTTP/1.1 401"))
			if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 401" {
				t.Fatalf("answer to a stranger's POST %s = %q, %v, want 401 without a look at its body", path, answer, err)
			}
		}
	}
	if after := w.mediator.Setups(); after != before {
		t.Errorf("the mediator was asked for its users %d times more, want none", after-before)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
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
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n{", request, w.env["MONITOR_TOKEN"], most+1)
		answer := make([]byte, len("HTTP/1.1 413"))
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 413" {
			t.Errorf("answer to %s = %q, %v, want 413 without a look at its body", request, answer, err)
		}
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
}
