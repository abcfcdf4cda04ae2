package programtest

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Relay is a TCP proxy. It connects to the first target that accepts, starting with another
// one each time.
type Relay struct {
	Targets []string

	ln      net.Listener
	wrap    func(client, server net.Conn) net.Conn
	next    atomic.Uint64
	stop    context.CancelFunc
	running sync.WaitGroup
}

// NewRelay starts a proxy behind ln that runs until the test ends. wrap returns the connection
// to a client, and may intercept what it sends (Read) and receives (Write).
func NewRelay(t testing.TB, ln net.Listener, wrap func(client, server net.Conn) net.Conn, targets ...string) *Relay {
	ctx, stop := context.WithCancel(context.Background())
	r := &Relay{Targets: targets, ln: ln, wrap: wrap, stop: stop}
	r.running.Go(func() { r.accept(ctx) })
	t.Cleanup(r.Close)
	return r
}

// Addr returns the address of the proxy.
func (r *Relay) Addr() string { return r.ln.Addr().String() }

// Close closes all connections and waits until their goroutines have ended.
func (r *Relay) Close() {
	r.stop()
	_ = r.ln.Close()
	r.running.Wait()
}

func (r *Relay) accept(ctx context.Context) {
	for {
		client, err := r.ln.Accept()
		if err != nil {
			return
		}
		r.running.Go(func() { r.handle(ctx, client) })
	}
}

// handle connects a client to a target until either side closes or ctx ends.
func (r *Relay) handle(ctx context.Context, client net.Conn) {
	defer client.Close()
	server := r.dial()
	if server == nil {
		return
	}
	defer server.Close()
	defer context.AfterFunc(ctx, func() {
		_ = client.Close()
		_ = server.Close()
	})()
	client = r.wrap(client, server)
	r.running.Go(func() {
		forward(server, client)
		_ = server.Close()
	})
	forward(client, server)
}

// dial returns nil if no target accepts.
func (r *Relay) dial() net.Conn {
	first := r.next.Add(1)
	for i := range uint64(len(r.Targets)) {
		target := r.Targets[(first+i)%uint64(len(r.Targets))]
		if conn, err := net.DialTimeout("tcp", target, time.Second); err == nil {
			return conn
		}
	}
	return nil
}

// forward copies until either side fails, through a buffer that holds a long request.
func forward(to, from net.Conn) {
	// Without the wrappers TCP connections would copy with their own, shorter buffer.
	_, _ = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 64<<10))
}
