package certs_test

import (
	"log/slog"
	"net"
	"os"
	"testing"

	"outlook-monitor/internal/programtest"
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

func write(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
