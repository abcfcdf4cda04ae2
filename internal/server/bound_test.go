package server_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/server"
)

// addressed is a connection from somewhere.
type addressed struct {
	net.Conn
	from string
}

func (a addressed) RemoteAddr() net.Addr { return from(a.from) }

type from string

func (from) Network() string  { return "tcp" }
func (f from) String() string { return string(f) }

// way is a server in a bubble, with a bound before it.
type way struct {
	*pipes
	release chan struct{} // lets those go that hold
	refused int           // guarded by mu, as below
	mu      sync.Mutex
	bodies  map[string]int // that were passed on, by length
	ended   int            // requests that were passed on with a context that had ended
}

// bounded runs a story with a server that keeps to cfg. It answers 200 when it has
// the body, to requests that hold not before they are let go.
func bounded(t *testing.T, cfg server.BoundConfig, story func(t *testing.T, w *way)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &way{pipes: newPipes(), release: make(chan struct{}), bodies: map[string]int{}}
		cfg.Paths, cfg.Below = []string{"/in"}, []string{"/under/"}
		cfg.Refused = func() { w.mu.Lock(); w.refused++; w.mu.Unlock() }
		stop := serve(w.pipes, server.Bound(http.HandlerFunc(w.answer), cfg).ServeHTTP)
		story(t, w)
		close(w.release)
		if err := stop(); err != nil {
			t.Errorf("Serve = %v, want nil", err)
		}
	})
}

func (w *way) answer(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		rw.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.mu.Lock()
	w.bodies[fmt.Sprint(len(body))]++
	if r.Context().Err() != nil {
		w.ended++
	}
	w.mu.Unlock()
	if r.Header.Get("Hold") != "" {
		select {
		case <-w.release:
		case <-r.Context().Done():
			rw.WriteHeader(http.StatusGatewayTimeout)
		}
	}
}

// call is a request that is being sent.
type call struct {
	conn   net.Conn
	status int           // of the answer, 0 if none came; once done is closed
	took   time.Duration // until then
	done   chan struct{}
}

// call sends a request, or a part of one, from an address.
func (w *way) call(from, head, body string) *call {
	ours, theirs := net.Pipe()
	w.conns <- addressed{theirs, from}
	c := &call{conn: ours, done: make(chan struct{})}
	began := time.Now()
	go func() { _, _ = io.WriteString(ours, head+"\r\nHost: a\r\n\r\n"+body) }()
	go func() {
		defer close(c.done)
		defer ours.Close()
		answer, err := http.ReadResponse(bufio.NewReader(ours), nil)
		if c.took = time.Since(began); err == nil {
			c.status = answer.StatusCode
			_ = answer.Body.Close()
		}
	}()
	synctest.Wait()
	return c
}

// answered returns what a call came to.
func (c *call) answered() int { <-c.done; return c.status }

func told(size int) string { return fmt.Sprintf("POST /in HTTP/1.1\r\nContent-Length: %d", size) }

const untold = "POST /in HTTP/1.1\r\nTransfer-Encoding: chunked"

// chunked is the beginning of a body of untold length.
func chunked(body string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(body), body) }

func spaces(n int) string { return strings.Repeat(" ", n) }

const (
	here  = "192.0.2.1:1"
	there = "192.0.2.2:1"
	hold  = "\r\nHold: 1"
	kib   = 1 << 10
)

var narrow = server.BoundConfig{Requests: 8, EachSource: 6, Working: 2, Most: 256 * kib, Bytes: 400 * kib}

func TestWhatTheBoundLetsIn(t *testing.T) {
	many := func(n int, head, body string) func(w *way) {
		return func(w *way) {
			for range n {
				w.call(here, head, body)
			}
		}
	}
	handshake := func(query string) bool { return query == "validationToken=x" }
	tests := map[string]struct {
		before     func(w *way)
		head, body string
		status     int
	}{
		"there is room":                                  {many(1, told(1)+hold, "1"), told(4), "1234", 200},
		"slow senders that declare much":                 {many(20, told(256*kib), "{"), told(4), "1234", 200},
		"slow senders that don't say how much":           {many(20, untold, chunked("{")), told(4), "1234", 200},
		"slow senders that declare little":               {many(20, told(9), "{"), told(4), "1234", 200},
		"slow senders, and a long one":                   {many(20, told(256*kib), "{"), told(200 * kib), spaces(200 * kib), 200},
		"slow senders that have sent a part":             {many(20, told(256*kib), spaces(100*kib)), told(4), "1234", 200},
		"long ones take all their room: a short one":     {many(1, told(200*kib)+hold, spaces(200*kib)), told(4), "1234", 200},
		"long ones take all their room: another fits":    {many(1, told(256*kib)+hold, spaces(256*kib)), told(256 * kib), spaces(256 * kib), 200},
		"long ones take all their room: another one":     {many(5, told(256*kib), spaces(66*kib)), told(256 * kib), spaces(256 * kib), 503},
		"all have come and work":                         {many(2, told(1)+hold, "1"), told(1), "1", 503},
		"all places are taken by those whose body came":  {many(20, told(1)+hold, "1"), told(1), "1", 503},
		"a length that is too long":                      {nil, told(256*kib + 1), "", 413},
		"one that turns out to be too long":              {nil, untold, chunked(spaces(256*kib + 1)), 413},
		"another path":                                   {many(20, told(1)+hold, "1"), "POST /out HTTP/1.1\r\nContent-Length: 1", "1", 200},
		"another method":                                 {many(20, told(1)+hold, "1"), "GET /in HTTP/1.1", "", 200},
		"a PUT below":                                    {many(20, told(1)+hold, "1"), "PUT /under/ann HTTP/1.1\r\nContent-Length: 0", "", 503},
		"a DELETE below":                                 {many(20, told(1)+hold, "1"), "DELETE /under/ann HTTP/1.1", "", 503},
		"a POST below, further down":                     {many(20, told(1)+hold, "1"), "POST /under/ann/check HTTP/1.1\r\nContent-Length: 0", "", 503},
		"a PUT below that is too long":                   {nil, "PUT /under/ann HTTP/1.1\r\nContent-Length: 262145", "", 413},
		"a PUT below, and there is room":                 {many(1, told(1)+hold, "1"), "PUT /under/ann HTTP/1.1\r\nContent-Length: 1", "1", 200},
		"a look below":                                   {many(20, told(1)+hold, "1"), "GET /under/ann HTTP/1.1", "", 200},
		"a short look below":                             {many(20, told(1)+hold, "1"), "HEAD /under/ann HTTP/1.1", "", 200},
		"what is above":                                  {many(20, told(1)+hold, "1"), "PUT /under/ HTTP/1.1\r\nContent-Length: 0", "", 200},
		"a handshake":                                    {many(20, told(1)+hold, "1"), "POST /in?validationToken=x HTTP/1.1", "", 200},
		"what only looks like a handshake":               {many(20, told(1)+hold, "1"), "POST /in?xvalidationToken=x HTTP/1.1", "", 503},
		"what only looks like a handshake, and is large": {nil, "POST /in?xvalidationToken=x HTTP/1.1\r\nContent-Length: 262145", "", 413},
		"a body that breaks off":                         {nil, untold, "zz\r\n", 400},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := narrow
			cfg.Open = handshake
			bounded(t, cfg, func(t *testing.T, w *way) {
				if tt.before != nil {
					tt.before(w)
				}
				w.mu.Lock()
				already := w.refused
				w.mu.Unlock()
				c := w.call(here, tt.head, tt.body)
				if got := c.answered(); got != tt.status || c.took > 500*time.Millisecond {
					t.Errorf("answer = %d after %v, want %d within 500 ms", got, c.took, tt.status)
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				if tt.status == 503 && w.refused == already {
					t.Error("refusals = 0, want it told")
				}
			})
		})
	}
}

func TestABodyMayTakeItsTime(t *testing.T) {
	tests := map[string]struct {
		head, first string
		every       time.Duration // a piece more comes
		piece       string
		status      int
		after       time.Duration
	}{
		"nothing more comes":                 {told(9), "{", time.Hour, "", 408, 5 * time.Second},
		"a byte now and then":                {told(99), "{", time.Second, "1", 408, 5 * time.Second},
		"a byte now and then, and it ends":   {told(5), "{", time.Second, "1", 200, 4 * time.Second},
		"a long one stands still":            {told(200 * kib), spaces(65 * kib), time.Hour, "", 408, time.Second},
		"a long one crawls":                  {told(200 * kib), spaces(65 * kib), 100 * time.Millisecond, "1", 408, time.Second},
		"a long one is slow":                 {told(200 * kib), spaces(100 * kib), 500 * time.Millisecond, spaces(48 * kib), 200, 1500 * time.Millisecond},
		"a long one does not come to an end": {told(256 * kib), spaces(64 * kib), 900 * time.Millisecond, spaces(16 * kib), 408, time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bounded(t, narrow, func(t *testing.T, w *way) {
				c := w.call(here, tt.head, tt.first)
				for {
					select {
					case <-c.done:
						if c.status != tt.status || c.took != tt.after {
							t.Errorf("answer = %d after %v, want %d after %v", c.status, c.took, tt.status, tt.after)
						}
						return
					case <-time.After(tt.every):
						go func() { _, _ = io.WriteString(c.conn, tt.piece) }()
					}
				}
			})
		})
	}
}

func TestBodiesArePassedOnWhole(t *testing.T) {
	sizes := []int{0, 1, 4*kib - 1, 4 * kib, 4*kib + 1, 64*kib - 1, 64 * kib, 64*kib + 1, 128 * kib, 256*kib - 1, 256 * kib}
	bounded(t, narrow, func(t *testing.T, w *way) {
		for _, size := range sizes {
			calls := []*call{w.call(here, told(size), spaces(size))}
			if size > 0 {
				calls = append(calls, w.call(here, untold, chunked(spaces(size))+"0\r\n\r\n"))
			}
			for _, c := range calls {
				if got := c.answered(); got != 200 {
					t.Errorf("answer to %d bytes = %d, want 200", size, got)
				}
			}
			w.mu.Lock()
			if got := w.bodies[fmt.Sprint(size)]; got != len(calls) {
				t.Errorf("%d bodies of %d bytes were passed on (%v), want %d", got, size, slices.Sorted(maps.Keys(w.bodies)), len(calls))
			}
			w.mu.Unlock()
		}
	})
}

func TestASlowLongOneMakesWay(t *testing.T) {
	bounded(t, narrow, func(t *testing.T, w *way) {
		slow := []*call{w.call(here, told(256*kib), spaces(66*kib)), w.call(here, untold, chunked(spaces(66*kib)))}
		time.Sleep(400 * time.Millisecond)
		if got := w.call(there, told(256*kib), spaces(256*kib)).answered(); got != 200 {
			t.Errorf("answer to a long one = %d, want 200", got)
		}
		for _, c := range slow {
			if got := c.answered(); got != 503 {
				t.Errorf("answer to a slow one = %d, want 503", got)
			}
		}
	})
}

func TestASourceTakesPlacesFromItself(t *testing.T) {
	bounded(t, narrow, func(t *testing.T, w *way) {
		other := []*call{w.call(there, told(9), "{"), w.call(there, told(9), "{")}
		for range 50 {
			w.call(here, told(9), "{")
		}
		for _, c := range other {
			go func() { _, _ = io.WriteString(c.conn, "12345678") }()
			if got := c.answered(); got != 200 {
				t.Errorf("answer to another source = %d, want 200", got)
			}
		}
	})
}

func TestWhoWaitsGetsInWhenThereIsRoomInTime(t *testing.T) {
	bounded(t, narrow, func(t *testing.T, w *way) {
		w.call(here, told(1)+hold, "1")
		w.call(here, told(1)+hold, "1")
		c := w.call(here, told(1), "1")
		time.Sleep(300 * time.Millisecond)
		w.release <- struct{}{}
		if got := c.answered(); got != 200 {
			t.Errorf("answer = %d, want 200 once there was room", got)
		}
	})
}

// TestWhatComesTooLateMayBeRemembered fills all places to work, so that a request
// waits as long as it may.
func TestWhatComesTooLateMayBeRemembered(t *testing.T) {
	for name, late := range map[string]bool{"and is passed on": true, "and is not": false} {
		t.Run(name, func(t *testing.T) {
			cfg := narrow
			cfg.Wait, cfg.Within, cfg.Late = 5*time.Second, 7*time.Second, late
			bounded(t, cfg, func(t *testing.T, w *way) {
				working := []*call{w.call(here, told(1)+hold, "1"), w.call(here, told(1)+hold, "1")}
				c := w.call(here, told(3), "1")
				time.Sleep(time.Second)
				go func() { _, _ = io.WriteString(c.conn, "23") }()
				status, bodies := 503, 0
				if late {
					status, bodies = 200, 1
				}
				if got := c.answered(); got != status || c.took != 5*time.Second {
					t.Errorf("answer = %d after %v, want %d after 5 s", got, c.took, status)
				}
				w.mu.Lock()
				if w.bodies["3"] != bodies || w.ended != bodies || w.refused != 1 {
					t.Errorf("passed on %d, %d of them with a context that had ended, refused %d, want %d, %d and 1", w.bodies["3"], w.ended, w.refused, bodies, bodies)
				}
				w.mu.Unlock()
				for _, c := range working {
					if got := c.answered(); got != 504 || c.took != 7*time.Second {
						t.Errorf("answer to one that worked on = %d after %v, want its context to end after 7 s", got, c.took)
					}
				}
			})
		})
	}
}

func TestARefusalIsConstantAndLoggedOnce(t *testing.T) {
	log, out := logger()
	cfg := narrow
	cfg.Requests, cfg.Paths, cfg.Log = 0, []string{"/in"}, log
	h := server.Bound(http.HandlerFunc(accepted), cfg)
	for range 3 {
		got := asks(h, here, "/in?x=<script>")
		if got.Code != 503 || got.Body.Len() != 0 || got.Header().Get("Retry-After") != "1" ||
			got.Header().Get("X-Content-Type-Options") != "nosniff" || got.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("answer = %d %v %q, want 503 and no body", got.Code, got.Header(), got.Body)
		}
	}
	if got := strings.Count(out.String(), "\n"); got != 1 || !strings.Contains(out.String(), "refused") {
		t.Errorf("log = %q, want one line", out)
	}
}

// quiet opens n connections that say nothing.
func quiet(p *pipes, n int) (all []net.Conn) {
	for range n {
		all = append(all, p.dial())
	}
	return all
}

func TestConnectionsAreBounded(t *testing.T) {
	const most = 2048
	synctest.Test(t, func(t *testing.T) {
		p, free := newPipes(), make(chan struct{})
		stop := serve(p, func(http.ResponseWriter, *http.Request) { <-free })
		busy := p.dial()
		send(t, busy, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		synctest.Wait()
		all := quiet(p, most+9)
		synctest.Wait()
		closed := 0
		for i, conn := range all {
			_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := conn.Read(make([]byte, 1)); err == io.EOF {
				if closed++; i >= 10 {
					t.Errorf("connection %d is closed, want the oldest", i)
				}
			}
		}
		if closed != 10 {
			t.Errorf("%d connections are closed, want 10", closed)
		}
		close(free)
		if answer, err := http.ReadResponse(bufio.NewReader(busy), nil); err != nil || answer.StatusCode != 200 {
			t.Errorf("answer to who was busy = %v, %v, want 200", answer, err)
		}
		for _, conn := range append(all, busy) {
			_ = conn.Close()
		}
		if err := stop(); err != nil {
			t.Errorf("Serve = %v, want nil", err)
		}
	})
}
