package server

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// maxConns bounds what connections cost a listener: with TLS about 40 KiB each.
const maxConns = 2048

// conns closes a connection when there are more than most: the one that has been
// quiet for longest, or else the oldest.
type conns struct {
	most int

	mu   sync.Mutex
	open map[net.Conn]*list.Element // guarded by mu, as below; in one of the two
	idle *list.List                 // of net.Conn, waiting for a request, the longest first
	busy *list.List                 // of net.Conn, with one, the oldest first
}

func newConns(most int) *conns {
	return &conns{most: most, open: map[net.Conn]*list.Element{}, idle: list.New(), busy: list.New()}
}

// changed hears of each connection ([http.Server.ConnState]).
func (c *conns) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(conn)
	switch state {
	case http.StateNew, http.StateIdle:
		c.open[conn] = c.idle.PushBack(conn)
	case http.StateActive:
		c.open[conn] = c.busy.PushBack(conn)
	}
	if len(c.open) <= c.most {
		return
	}
	oldest := c.idle.Front()
	if oldest == nil || oldest.Value == conn {
		oldest = c.busy.Front()
	}
	if oldest != nil {
		c.drop(oldest.Value.(net.Conn))
		hang(oldest.Value.(net.Conn))
	}
}

func (c *conns) drop(conn net.Conn) {
	if e := c.open[conn]; e != nil {
		c.idle.Remove(e) // it is in one of them, and left alone by the other
		c.busy.Remove(e)
		delete(c.open, conn)
	}
}

// hang closes a connection without a farewell, which might take its time.
func hang(conn net.Conn) {
	if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secured.NetConn()
	}
	_ = conn.Close()
}
