package programtest

import (
	"net"
	"net/netip"
	"sync"
)

// Pipes is a listener with connections in memory, so that it works in a synctest bubble.
type Pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewPipes returns an open listener.
func NewPipes() *Pipes { return &Pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

// Accept waits for the next connection.
func (p *Pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close closes the listener, but no connection.
func (p *Pipes) Close() error { p.once.Do(func() { close(p.closed) }); return nil }

// Addr returns an empty address.
func (p *Pipes) Addr() net.Addr { return &net.IPAddr{} }

// Dial returns a connection from an IP address and port, nil if the listener is closed.
func (p *Pipes) Dial(from string) net.Conn {
	client, peer := net.Pipe()
	select {
	case p.conns <- connFrom{peer, from}:
		return client
	case <-p.closed:
		return nil
	}
}

// connFrom is a connection from another address.
type connFrom struct {
	net.Conn
	address string
}

func (c connFrom) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.address))
}
