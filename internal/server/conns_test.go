package server

import (
	"net"
	"net/http"
	"testing"
)

// fakeConn records that it was closed.
type fakeConn struct {
	net.Conn
	closed bool
}

func (c *fakeConn) Close() error {
	c.closed = true
	return nil
}

func TestClosedConnectionIsNotCountedAgain(t *testing.T) {
	c, first, second, third := newConns(2), &fakeConn{}, &fakeConn{}, &fakeConn{}
	for _, conn := range []*fakeConn{first, second, third} {
		c.changed(conn, http.StateNew)
	}
	c.changed(second, http.StateActive)
	c.changed(first, http.StateActive) // its request arrived before it was closed
	if !first.closed || second.closed || third.closed {
		t.Errorf("closed = %t %t %t, want only the first", first.closed, second.closed, third.closed)
	}
	for _, conn := range []*fakeConn{first, second, third} {
		c.changed(conn, http.StateClosed)
	}
	if len(c.open) != 0 {
		t.Errorf("%d connections are known after all have ended, want none", len(c.open))
	}
}
