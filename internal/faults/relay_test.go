package faults_test

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// relay is an address that passes connections on: to the first of its targets
// that takes them, beginning with another one each time.
type relay struct {
	ln      net.Listener
	targets []string
	turn    atomic.Uint64
	delay   atomic.Int64 // ns by which each piece of an answer is late
	trap    atomic.Pointer[trap]
	loses   atomic.Pointer[aim] // requests whose answers get lost, with their connections
	open    sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // guarded by mu; nil: it has ended
}

// trap stops a relay at the first piece of a request that is aimed at, so that a
// process can be killed at this very point.
type trap struct {
	aims   aim
	passes bool // the request reaches the target, and its answer gets lost

	once   sync.Once
	sprung chan struct{} // closed when it has stopped something
	gone   chan struct{} // closed when it is taken away
}

// aim reports whether a piece of a request is what a fault waits for.
type aim func(piece []byte) bool

// bears aims at what bears a word.
func bears(word string) aim {
	return func(piece []byte) bool { return bytes.Contains(piece, []byte(word)) }
}

// stop holds up what is aimed at until the trap is taken away; caught is false if it
// is not, or the trap has stopped another.
func (t *trap) stop(piece []byte, pass func()) (caught bool) {
	if t == nil || !t.aims(piece) {
		return false
	}
	t.once.Do(func() {
		caught = true
		if t.passes {
			pass()
		}
		close(t.sprung)
		<-t.gone
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
	r.open.Go(r.accept)
	t.Cleanup(r.end)
	return r
}

func (r *relay) addr() string { return r.ln.Addr().String() }

func (r *relay) accept() {
	for {
		conn, err := r.ln.Accept()
		if err != nil {
			return
		}
		r.open.Go(func() { r.pass(conn) })
	}
}

// pass connects in to a target until one of both ends.
func (r *relay) pass(in net.Conn) {
	defer in.Close()
	out := r.dial()
	if out == nil || !r.keep(in, out) {
		return
	}
	defer r.drop(in, out)
	var up sync.WaitGroup
	var lost atomic.Bool
	up.Go(func() {
		r.ask(in, out, &lost)
		_ = out.Close()
	})
	r.answer(in, out, &lost)
	_ = in.Close()
	up.Wait()
}

// dial returns nil if no target takes the connection.
func (r *relay) dial() net.Conn {
	first := r.turn.Add(1)
	for i := range uint64(len(r.targets)) {
		target := r.targets[(first+i)%uint64(len(r.targets))]
		if conn, err := net.DialTimeout("tcp", target, time.Second); err == nil {
			return conn
		}
	}
	return nil
}

// ask brings what in says to out, up to a trap. Then lost is set: no answer may
// come any more.
func (r *relay) ask(in, out net.Conn, lost *atomic.Bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := in.Read(buffer)
		caught := r.trap.Load().stop(buffer[:n], func() {
			lost.Store(true)
			_, _ = out.Write(buffer[:n])
		})
		if caught {
			return
		}
		if aims := r.loses.Load(); aims != nil && (*aims)(buffer[:n]) {
			lost.Store(true)
			_, _ = out.Write(buffer[:n])
			time.Sleep(50 * time.Millisecond) // it is carried out meanwhile
			return
		}
		if _, failed := out.Write(buffer[:n]); failed != nil || err != nil {
			return
		}
	}
}

// answer brings what out says to in, late if it has to be.
func (r *relay) answer(in, out net.Conn, lost *atomic.Bool) {
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

func (r *relay) keep(conns ...net.Conn) bool {
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

func (r *relay) drop(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(r.conns, c)
	}
}

// end closes everything and waits for it.
func (r *relay) end() {
	_ = r.ln.Close()
	r.mu.Lock()
	for c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
	r.mu.Unlock()
	r.open.Wait()
}
