package faults_test

import (
	"bytes"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/programtest"
)

// relay is a TCP proxy. It connects to the first target that accepts, starting with
// another one each time.
type relay struct {
	ln        net.Listener
	targets   []string
	next      atomic.Uint64
	delay     atomic.Int64 // of each read of an answer, in ns
	intercept atomic.Pointer[interceptor]
	stop      context.CancelFunc
	running   sync.WaitGroup
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
	ln := programtest.Listen(t)
	ctx, stop := context.WithCancel(context.Background())
	r := &relay{ln: ln, targets: targets, stop: stop}
	r.running.Go(func() { r.accept(ctx) })
	t.Cleanup(r.close)
	return r
}

func (r *relay) addr() string { return r.ln.Addr().String() }

func (r *relay) accept(ctx context.Context) {
	for {
		conn, err := r.ln.Accept()
		if err != nil {
			return
		}
		r.running.Go(func() { r.handle(ctx, conn) })
	}
}

// handle connects in to a target until either side closes or ctx ends.
func (r *relay) handle(ctx context.Context, in net.Conn) {
	defer in.Close()
	out := r.dial()
	if out == nil {
		return
	}
	defer out.Close()
	defer context.AfterFunc(ctx, func() {
		_ = in.Close()
		_ = out.Close()
	})()
	var lost atomic.Bool
	r.running.Go(func() {
		r.forwardRequests(in, out, &lost)
		_ = out.Close()
	})
	r.forwardAnswers(in, out, &lost)
}

// dial returns nil if no target accepts.
func (r *relay) dial() net.Conn {
	first := r.next.Add(1)
	for i := range uint64(len(r.targets)) {
		target := r.targets[(first+i)%uint64(len(r.targets))]
		if conn, err := net.DialTimeout("tcp", target, time.Second); err == nil {
			return conn
		}
	}
	return nil
}

// forwardRequests copies from in to out until an interceptor cuts the connection. It
// sets lost once the answers must not arrive.
func (r *relay) forwardRequests(in, out net.Conn, lost *atomic.Bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := in.Read(buffer)
		pass := func() {
			lost.Store(true)
			_, _ = out.Write(buffer[:n])
		}
		if intercept := r.intercept.Load(); intercept != nil && (*intercept)(buffer[:n], pass) {
			return
		}
		if _, failed := out.Write(buffer[:n]); failed != nil || err != nil {
			return
		}
	}
}

// forwardAnswers copies from out to in, delayed by r.delay, until lost is set.
func (r *relay) forwardAnswers(in, out net.Conn, lost *atomic.Bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := out.Read(buffer)
		if late := time.Duration(r.delay.Load()); late > 0 && n > 0 {
			time.Sleep(late)
		}
		if lost.Load() {
			n = 0
		}
		if _, failed := in.Write(buffer[:n]); failed != nil || err != nil {
			return
		}
	}
}

// close closes all connections and waits until their goroutines have ended.
func (r *relay) close() {
	r.stop()
	_ = r.ln.Close()
	r.running.Wait()
}
