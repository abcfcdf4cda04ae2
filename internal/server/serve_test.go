package server_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/server"
)

// pipes is a listener with connections in memory, so that it works in a bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.IPAddr{} }

// dial returns a connection, nil if the listener is closed.
func (p *pipes) dial() net.Conn {
	client, peer := net.Pipe()
	select {
	case p.conns <- peer:
		return client
	case <-p.closed:
		return nil
	}
}

// send writes text without waiting until it is read.
func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	go func() { _, _ = io.WriteString(conn, text) }()
}

// serve runs Serve in a bubble. stop ends it and returns its result.
func serve(p *pipes, h http.HandlerFunc) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() {
		result <- server.Serve(ctx, server.Listener{Listener: p, Handler: h}, slog.New(slog.DiscardHandler))
	}()
	return func() error { cancel(); return <-result }
}

func TestRequestLimits(t *testing.T) {
	tests := map[string]struct {
		sent  string
		after time.Duration // until the answer, or until the connection is closed
		want  string        // beginning of the answer; empty: none
	}{
		"complete":           {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 0, "HTTP/1.1 200 OK"},
		"incomplete headers": {"GET / HTTP/1.1\r\nHost: a\r\n", 5 * time.Second, ""},
		"nothing":            {"", 5 * time.Second, ""},
		"incomplete body":    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1", 20 * time.Second, "HTTP/1.1 408 Request Timeout"},
		"headers too large":  {"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 40<<10) + "\r\n\r\n", 0, "HTTP/1.1 431 "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipes()
				stop := serve(p, func(w http.ResponseWriter, r *http.Request) {
					if _, err := io.ReadAll(r.Body); err != nil {
						w.WriteHeader(http.StatusRequestTimeout)
					}
				})
				began := time.Now()
				conn := p.dial()
				send(t, conn, tt.sent)
				line, err := bufio.NewReader(conn).ReadString('\n')
				if took := time.Since(began); took != tt.after {
					t.Errorf("it took %v, want %v", took, tt.after)
				}
				if !strings.HasPrefix(line, tt.want) || (tt.want == "") != (line == "" && errors.Is(err, io.EOF)) {
					t.Errorf("answer = %q, %v, want %q", line, err, tt.want)
				}
				_ = conn.Close()
				if err := stop(); err != nil {
					t.Errorf("Serve = %v, want nil", err)
				}
			})
		})
	}
}

func TestServeDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		stop := serve(p, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(8 * time.Second)
			hello(w, r)
		})
		conn := p.dial()
		send(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		synctest.Wait()
		var stopping sync.WaitGroup
		began := time.Now()
		stopping.Go(func() {
			if err := stop(); err != nil {
				t.Errorf("Serve = %v, want nil", err)
			}
			if took := time.Since(began); took < 8*time.Second {
				t.Errorf("Serve returned after %v, want it after the request has finished", took)
			}
		})
		synctest.Wait()
		if p.dial() != nil {
			t.Error("a connection was accepted after the stop")
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || string(body) != "hello" {
			t.Errorf("answer = %q, %v, want hello", body, err)
		}
		stopping.Wait()
	})
}

func TestServeClosesAfterDrainTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		free := make(chan struct{})
		stop := serve(p, func(http.ResponseWriter, *http.Request) { <-free })
		conn := p.dial()
		send(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		synctest.Wait()
		began := time.Now()
		if err := stop(); err != nil {
			t.Errorf("Serve = %v, want nil", err)
		}
		if took := time.Since(began); took != 9*time.Second {
			t.Errorf("Serve returned after %v, want 9s", took)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("Read = %v, want the connection closed", err)
		}
		close(free)
	})
}

func TestListenerFailure(t *testing.T) {
	p := newPipes()
	_ = p.Close()
	err := server.Serve(t.Context(), server.Listener{Listener: p, Handler: http.HandlerFunc(hello)}, slog.New(slog.DiscardHandler))
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve = %v, want %v", err, net.ErrClosed)
	}
}

func TestAnswersHaveNoServerHeader(t *testing.T) {
	ln := loopback(t)
	serving(t, ln, nil)
	response, err := http.Get("http://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for name := range response.Header {
		if name != "Date" && name != "Content-Length" && name != "Content-Type" {
			t.Errorf("the answer has the header %s", name)
		}
	}
}
