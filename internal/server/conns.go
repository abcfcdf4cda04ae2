package server

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// conns limits the number of connections. Over the limit, it closes the connection that
// has been idle for longest, or, if none is idle, the one whose request began first.
type conns struct {
	limit int

	mu   sync.Mutex
	open map[net.Conn]*list.Element // guarded by mu, as all below; in idle or busy, or nil if closed by conns
	idle *list.List                 // of net.Conn without a request, longest idle first
	busy *list.List                 // of net.Conn with a request, oldest first
}

func newConns(limit int) *conns {
	return &conns{limit: limit, open: map[net.Conn]*list.Element{}, idle: list.New(), busy: list.New()}
}

// changed is called for each state change of a connection ([http.Server.ConnState]). The
// server may still read a request from a connection that changed has closed; it must not
// count again, or it would displace a new connection.
func (c *conns) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, known := c.open[conn]
	ended := state == http.StateClosed || state == http.StateHijacked
	if known && e == nil && !ended {
		return
	}
	c.remove(e)
	switch state {
	case http.StateNew, http.StateIdle:
		c.open[conn] = c.idle.PushBack(conn)
	case http.StateActive:
		c.open[conn] = c.busy.PushBack(conn)
	default:
		delete(c.open, conn)
	}
	if c.idle.Len()+c.busy.Len() <= c.limit {
		return
	}
	oldest := c.idle.Front()
	if oldest == nil || oldest.Value == conn {
		oldest = c.busy.Front()
	}
	if oldest == nil {
		return
	}
	victim := oldest.Value.(net.Conn)
	c.remove(oldest)
	c.open[victim] = nil
	if secured, ok := victim.(interface{ NetConn() net.Conn }); ok {
		victim = secured.NetConn() // closing a TLS connection may block
	}
	_ = victim.Close()
}

func (c *conns) remove(e *list.Element) {
	if e != nil {
		c.idle.Remove(e) // a list ignores elements of another list
		c.busy.Remove(e)
	}
}
