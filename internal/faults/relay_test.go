package faults_test

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/programtest"
)

// relay is a TCP proxy whose requests and answers can be disturbed.
type relay struct {
	*programtest.Relay
	delay     atomic.Int64 // of each read of an answer, in ns
	intercept atomic.Pointer[interceptor]
}

// interceptor is called with all data that clients send. If it returns true, the
// connection is closed. pass sends the data to the target, whose answer is lost.
type interceptor func(request []byte, pass func()) (cut bool)

// match reports whether data read from a client holds the request that a fault targets.
type match func(request []byte) bool

func contains(text string) match {
	return func(request []byte) bool { return bytes.Contains(request, []byte(text)) }
}

func newRelay(t testing.TB, targets ...string) *relay {
	t.Helper()
	r := &relay{}
	r.Relay = programtest.NewRelay(t, programtest.Listen(t), func(client, server net.Conn) net.Conn {
		return &disturbed{Conn: client, relay: r, server: server}
	}, targets...)
	return r
}

// disturbed is the connection of a relay to a client.
type disturbed struct {
	net.Conn
	relay  *relay
	server net.Conn
	lost   atomic.Bool // the answers must not arrive
}

// Read reads requests until an interceptor cuts the connection.
func (c *disturbed) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	pass := func() {
		c.lost.Store(true)
		_, _ = c.server.Write(p[:n])
	}
	if intercept := c.relay.intercept.Load(); intercept != nil && (*intercept)(p[:n], pass) {
		return 0, io.EOF
	}
	return n, err
}

// Write sends answers, delayed, until they are lost.
func (c *disturbed) Write(p []byte) (int, error) {
	if late := time.Duration(c.relay.delay.Load()); late > 0 && len(p) > 0 {
		time.Sleep(late)
	}
	if c.lost.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}
