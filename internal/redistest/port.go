package redistest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Ports are below the ephemeral range, so that no client takes a server's port while the
// server is down. A Cluster node also listens on the port busGap above its own.
const (
	firstPort = 12000
	lastPort  = 21999
	busGap    = 10000
)

// freePort returns a port that is free now, as is the port busGap above it.
func freePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if free(port) && free(port+busGap) {
			return port
		}
	}
	t.Fatalf("no port from %d to %d is free", firstPort, lastPort)
	return 0
}

func free(port int) bool {
	ln, err := net.Listen("tcp", address(port))
	return err == nil && ln.Close() == nil
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
