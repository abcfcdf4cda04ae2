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
	"outlook-monitor/internal/server"
)

// serving runs Serve until the test ends or calls stop.
func serving(t *testing.T, ln net.Listener, h http.Handler, cfg *tls.Config) (stop func()) {
	t.Helper()
	return await.Run(t, func(ctx context.Context) error {
		return server.Serve(ctx, server.Listener{Listener: ln, Handler: h, TLS: cfg}, slog.New(slog.DiscardHandler))
	})
}

var hello http.HandlerFunc = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }
