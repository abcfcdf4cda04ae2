package server

import (
	"net"
	"net/http"
	"sync"
)

// conns limits the number of connections. Over the limit, it closes the connection that
// has been idle for longest, or, if no other is idle, the one whose request began first.
type conns struct {
	limit int

	mu      sync.Mutex
	open    map[net.Conn]activity // without those that conns closed; guarded by mu, as below
	changes int
}

// activity is what a connection has been doing since a state change.
type activity struct {
	busy  bool // with a request
	since int  // the number of that change
}

// before reports whether a connection is closed before one with another activity.
func (a activity) before(other activity) bool {
	if a.busy != other.busy {
		return other.busy
	}
	return a.since < other.since
}

func newConns(limit int) *conns { return &conns{limit: limit, open: map[net.Conn]activity{}} }

// changed is called for each state change of a connection ([http.Server.ConnState]). The
// server may still read a request from a connection that changed has closed; it must not
// count again, or it would displace a new connection.
func (c *conns) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	_, known := c.open[conn]
	switch {
	case state == http.StateClosed || state == http.StateHijacked:
		delete(c.open, conn)
	case known || state == http.StateNew:
		c.open[conn] = activity{busy: state == http.StateActive, since: c.changes}
	}
	if len(c.open) > c.limit {
		c.displace(conn)
	}
}

// displace closes a connection in favour of a new one.
func (c *conns) displace(added net.Conn) {
	var victim net.Conn
	var oldest activity
	for conn, a := range c.open {
		if conn != added && (victim == nil || a.before(oldest)) {
			victim, oldest = conn, a
		}
	}
	delete(c.open, victim)
	if secured, ok := victim.(interface{ NetConn() net.Conn }); ok {
		victim = secured.NetConn() // closing a TLS connection may block
	}
	_ = victim.Close()
}
