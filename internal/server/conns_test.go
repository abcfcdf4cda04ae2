package server

import (
	"net"
	"net/http"
	"slices"
	"testing"
)

// closing is a connection that notes that it was closed.
type closing struct {
	net.Conn
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}

func TestAClosedConnectionPushesNobodyOut(t *testing.T) {
	c, all := newConns(2), []*closing{{}, {}, {}}
	for _, conn := range all {
		c.changed(conn, http.StateNew)
	}
	c.changed(all[1], http.StateActive)
	c.changed(all[0], http.StateActive) // its request was there before it was closed
	closed := func(c *closing) bool { return c.closed }
	if !all[0].closed || slices.ContainsFunc(all[1:], closed) {
		t.Errorf("closed = %t %t %t, want the first alone", all[0].closed, all[1].closed, all[2].closed)
	}
	for _, conn := range all {
		c.changed(conn, http.StateClosed)
	}
	if len(c.open) != 0 || c.idle.Len()+c.busy.Len() != 0 {
		t.Errorf("%d connections are remembered once all have ended, want none", len(c.open))
	}
}
