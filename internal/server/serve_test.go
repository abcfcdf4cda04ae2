package server_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/certtest"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/server"
)

// send writes text without waiting until it is read.
func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	go func() { _, _ = io.WriteString(conn, text) }()
}

func TestRequestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := programtest.NewPipes()
		serving(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); err != nil {
				w.WriteHeader(http.StatusRequestTimeout)
			}
		}), nil)
		for name, tt := range map[string]struct {
			sent  string
			after time.Duration // until the answer, or until the connection is closed
			want  string        // beginning of the answer; empty: none
		}{
			"complete":           {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 0, "HTTP/1.1 200 OK"},
			"incomplete headers": {"GET / HTTP/1.1\r\nHost: a\r\n", 5 * time.Second, ""},
			"nothing":            {"", 5 * time.Second, ""},
			"incomplete body":    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1", 20 * time.Second, "HTTP/1.1 408 Request Timeout"},
			"headers too large":  {"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 40<<10) + "\r\n\r\n", 0, "HTTP/1.1 431 "},
		} {
			began := time.Now()
			conn := p.Dial(here)
			send(t, conn, tt.sent)
			line, err := bufio.NewReader(conn).ReadString('\n')
			if took := time.Since(began); took != tt.after {
				t.Errorf("%s: it took %v, want %v", name, took, tt.after)
			}
			if !strings.HasPrefix(line, tt.want) || (tt.want == "") != (line == "" && errors.Is(err, io.EOF)) {
				t.Errorf("%s: answer = %q, %v, want %q", name, line, err, tt.want)
			}
			_ = conn.Close()
		}
	})
}

func TestServeDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			work, stopped time.Duration
			want          string // body of the answer; empty: the connection is closed
		}{
			"request ends":         {8 * time.Second, 8 * time.Second, "hello"},
			"request takes longer": {time.Hour, 9 * time.Second, ""},
		} {
			p := programtest.NewPipes()
			stop := serving(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(tt.work)
				hello(w, r)
			}), nil)
			conn := p.Dial(here)
			send(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			synctest.Wait()
			began := time.Now()
			took := func() time.Duration { return time.Since(began).Truncate(time.Second) }
			var stopping sync.WaitGroup
			stopping.Go(func() {
				if stop(); took() != tt.stopped {
					t.Errorf("%s: Serve returned after %v, want %v", name, took(), tt.stopped)
				}
			})
			synctest.Wait()
			if p.Dial(here) != nil {
				t.Errorf("%s: a connection was accepted after the stop", name)
			}
			answer, err := io.ReadAll(conn)
			if _, body, _ := strings.Cut(string(answer), "\r\n\r\n"); err != nil || body != tt.want || took() != tt.stopped {
				t.Errorf("%s: answer = %q, %v after %v, want %q after %v", name, answer, err, took(), tt.want, tt.stopped)
			}
			stopping.Wait()
			time.Sleep(tt.work) // the handler ends with the test
		}
	})
}

func TestListenerFailure(t *testing.T) {
	p := programtest.NewPipes()
	_ = p.Close()
	err := server.Serve(t.Context(), server.Listener{Listener: p, Handler: hello}, slog.New(slog.DiscardHandler))
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve = %v, want %v", err, net.ErrClosed)
	}
}

// TestResponseHeaders expects nothing that names the server, and HSTS only over TLS.
func TestResponseHeaders(t *testing.T) {
	certificate, err := tls.LoadX509KeyPair(certtest.Files(t, certtest.Key(t), "", time.Now().Add(time.Hour)))
	must.NoError(t, err)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	for scheme, tt := range map[string]struct {
		cfg  *tls.Config
		want http.Header
	}{
		"http":  {nil, http.Header{}},
		"https": {&tls.Config{Certificates: []tls.Certificate{certificate}}, http.Header{"Strict-Transport-Security": {"max-age=31536000"}}},
	} {
		ln := programtest.Listen(t)
		serving(t, ln, hello, tt.cfg)
		response, err := (&http.Client{Transport: transport}).Get(scheme + "://" + ln.Addr().String())
		must.NoError(t, err)
		_ = response.Body.Close()
		for _, usual := range []string{"Content-Length", "Content-Type", "Date"} {
			response.Header.Del(usual)
		}
		if !maps.EqualFunc(response.Header, tt.want, slices.Equal) {
			t.Errorf("additional headers over %s = %v, want %v", scheme, response.Header, tt.want)
		}
	}
}
