package server

import (
	"net"
	"net/http"
	"slices"
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
	c, all := newConns(2), []*fakeConn{{}, {}, {}}
	for _, conn := range all {
		c.changed(conn, http.StateNew)
	}
	c.changed(all[1], http.StateActive)
	c.changed(all[0], http.StateActive) // its request arrived before it was closed
	closed := func(c *fakeConn) bool { return c.closed }
	if !all[0].closed || slices.ContainsFunc(all[1:], closed) {
		t.Errorf("closed = %t %t %t, want only the first", all[0].closed, all[1].closed, all[2].closed)
	}
	for _, conn := range all {
		c.changed(conn, http.StateClosed)
	}
	if len(c.open) != 0 || c.idle.Len()+c.busy.Len() != 0 {
		t.Errorf("%d connections are known after all have ended, want none", len(c.open))
	}
}
