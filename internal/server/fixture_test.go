package server_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/server"
)

// logger returns a logger and its output.
func logger() (*slog.Logger, *programtest.Output) {
	var out programtest.Output
	return slog.New(slog.NewTextHandler(&out, nil)), &out
}

// loopback listens on a free port.
func loopback(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// serving runs Serve until the test ends or calls stop.
func serving(t *testing.T, ln net.Listener, h http.Handler, cfg *tls.Config) (stop func()) {
	t.Helper()
	return await.Run(t, func(ctx context.Context) error {
		return server.Serve(ctx, server.Listener{Listener: ln, Handler: h, TLS: cfg}, slog.New(slog.DiscardHandler))
	})
}

var hello http.HandlerFunc = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }
