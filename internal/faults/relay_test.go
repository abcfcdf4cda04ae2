package faults_test

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// relay is a TCP proxy. It connects to the first target that accepts, starting with
// another one each time.
type relay struct {
	ln          net.Listener
	targets     []string
	next        atomic.Uint64
	delay       atomic.Int64 // of each read of an answer, in ns
	trap        atomic.Pointer[trap]
	dropAnswers atomic.Pointer[match] // requests whose connections are closed instead of answered
	running     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // guarded by mu; nil once closed
}

// trap holds the first matching request in a relay, so that a process can be killed at
// exactly this point.
type trap struct {
	match   match
	forward bool // the request reaches the target, but its answer is lost

	once     sync.Once
	caught   atomic.Bool   // a request is held
	released chan struct{} // closed to remove the trap
}

// match reports whether data read from a client holds the request that a fault targets.
type match func(request []byte) bool

func contains(text string) match {
	return func(request []byte) bool { return bytes.Contains(request, []byte(text)) }
}

// catch holds the first matching request until the trap is released, and reports whether
// it held this one.
func (t *trap) catch(request []byte, forward func()) (caught bool) {
	if t == nil || !t.match(request) {
		return false
	}
	t.once.Do(func() {
		caught = true
		if t.forward {
			forward()
		}
		t.caught.Store(true)
		<-t.released
	})
	return caught
}

func newRelay(t testing.TB, targets ...string) *relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{ln: ln, targets: targets, conns: map[net.Conn]bool{}}
	r.running.Go(r.accept)
	t.Cleanup(r.close)
	return r
}

func (r *relay) addr() string { return r.ln.Addr().String() }

func (r *relay) accept() {
	for {
		conn, err := r.ln.Accept()
		if err != nil {
			return
		}
		r.running.Go(func() { r.handle(conn) })
	}
}

// handle connects in to a target until either side closes.
func (r *relay) handle(in net.Conn) {
	defer in.Close()
	out := r.dial()
	if out == nil || !r.track(in, out) {
		return
	}
	defer r.untrack(in, out)
	var up sync.WaitGroup
	var lost atomic.Bool
	up.Go(func() {
		r.forwardRequests(in, out, &lost)
		_ = out.Close()
	})
	r.forwardAnswers(in, out, &lost)
	_ = in.Close()
	up.Wait()
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

// forwardRequests copies from in to out until a trap or dropAnswers matches. It sets
// lost once the answers must not arrive.
func (r *relay) forwardRequests(in, out net.Conn, lost *atomic.Bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := in.Read(buffer)
		caught := r.trap.Load().catch(buffer[:n], func() {
			lost.Store(true)
			_, _ = out.Write(buffer[:n])
		})
		if caught {
			return
		}
		if aims := r.dropAnswers.Load(); aims != nil && (*aims)(buffer[:n]) {
			lost.Store(true)
			_, _ = out.Write(buffer[:n])
			time.Sleep(50 * time.Millisecond) // for the target to process the request
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

func (r *relay) track(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		if r.conns == nil {
			_ = c.Close()
			continue
		}
		r.conns[c] = true
	}
	return r.conns != nil
}

func (r *relay) untrack(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(r.conns, c)
	}
}

// close closes all connections and waits until their goroutines have ended.
func (r *relay) close() {
	_ = r.ln.Close()
	r.mu.Lock()
	for c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
	r.mu.Unlock()
	r.running.Wait()
}
