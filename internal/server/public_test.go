package server_test

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/server"
)

const (
	notifications = "/graph/notifications"
	here          = "192.0.2.1:1"
	there         = "192.0.2.2:1"
	kib           = 1 << 10
	mib           = 1 << 20
)

// public is a guard of next with what tests don't care for filled in.
func public(next http.HandlerFunc, cfg server.PublicConfig) http.Handler {
	cfg.Concurrency = cmp.Or(cfg.Concurrency, 2)
	if cfg.Refused == nil {
		cfg.Refused = func(int) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := server.NewPublic(cfg)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.Admits(w, r) {
			p.Receive(w, r, func(body []byte) {
				r.Body = io.NopCloser(bytes.NewReader(body))
				next(w, r)
			})
		}
	})
}

// post makes a POST from a peer.
func post(h http.Handler, peer string, forwarded ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, notifications, strings.NewReader("{}"))
	r.RemoteAddr = peer
	for _, value := range forwarded {
		r.Header.Add("X-Forwarded-For", value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func accepted(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }

func networks(all ...string) (n server.Networks) {
	for _, one := range all {
		n = append(n, netip.MustParsePrefix(one))
	}
	return n
}

func TestWhoMayCall(t *testing.T) {
	h := public(accepted, server.PublicConfig{
		Allow: networks("20.20.32.0/19", "2603:1000::/24"), Proxies: networks("10.0.0.0/8", "fd00::/8"),
	})
	tests := map[string]struct {
		peer      string
		forwarded []string
		want      int
	}{
		"an address of the list":                       {"20.20.33.1:1234", nil, 202},
		"an IPv6 address of the list":                  {"[2603:1000::7]:1234", nil, 202},
		"an IPv4 address in IPv6":                      {"[::ffff:20.20.33.1]:1234", nil, 202},
		"a stranger":                                   {here, nil, 403},
		"a stranger who pretends":                      {here, []string{"20.20.33.1"}, 403},
		"an unknown peer":                              {"@", nil, 403},
		"Graph through a proxy":                        {"10.0.0.1:1234", []string{"20.20.33.1"}, 202},
		"Graph through a proxy that adds ports":        {"10.0.0.1:1234", []string{"20.20.33.1:5678"}, 202},
		"Graph over IPv6 through a proxy":              {"[fd00::1]:1234", []string{"[2603:1000::7]:5678"}, 202},
		"Graph through two proxies":                    {"10.0.0.1:1234", []string{"20.20.33.1, 10.9.9.9"}, 202},
		"Graph through two proxies, a header each":     {"10.0.0.1:1234", []string{"20.20.33.1", "10.9.9.9"}, 202},
		"a stranger through a proxy":                   {"10.0.0.1:1234", []string{"192.0.2.1"}, 403},
		"a stranger who pretends, through a proxy":     {"10.0.0.1:1234", []string{"20.20.33.1, 192.0.2.1"}, 403},
		"a stranger with a header of his own":          {"10.0.0.1:1234", []string{"20.20.33.1", "192.0.2.1"}, 403},
		"a proxy that doesn't say":                     {"10.0.0.1:1234", nil, 403},
		"a proxy that says nonsense":                   {"10.0.0.1:1234", []string{"20.20.33.1, unknown"}, 403},
		"a proxy that says nothing behind a comma":     {"10.0.0.1:1234", []string{"20.20.33.1,"}, 403},
		"proxies all the way, of which the first asks": {"10.0.0.1:1234", []string{"10.0.0.3, 10.0.0.2"}, 403},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := post(h, tt.peer, tt.forwarded...).Code; got != tt.want {
				t.Errorf("status = %d, want %d", got, tt.want)
			}
		})
	}
}

func TestRatesOfSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := public(accepted, server.PublicConfig{Proxies: networks("10.0.0.0/8"), Rate: 2000})
		passed := func(n int, peer string, forwarded ...string) (passed int) {
			for range n {
				if post(h, peer, forwarded...).Code == http.StatusAccepted {
					passed++
				}
			}
			return passed
		}
		for _, tt := range []struct {
			name, peer string
			forwarded  []string
			want       int
		}{
			{"5,000 at once from one address", here, nil, 4000},
			{"another address", there, nil, 4000},
			{"an address behind a proxy", "10.0.0.1:1", []string{"198.51.100.1"}, 4000},
			{"another one behind it", "10.0.0.1:1", []string{"198.51.100.2"}, 4000},
			{"one who names another each time", "192.0.2.3:1", []string{"198.51.100.3"}, 4000},
			{"an IPv6 address", "[2001:db8:0:1::1]:1", nil, 4000},
			{"another of the same /64", "[2001:db8:0:1:ffff::2]:1", nil, 0},
			{"one of the neighbouring /64", "[2001:db8:0:2::1]:1", nil, 4000},
		} {
			if got := passed(5000, tt.peer, tt.forwarded...); got != tt.want {
				t.Errorf("%s: %d pass, want %d", tt.name, got, tt.want)
			}
		}
		time.Sleep(time.Second)
		if got := passed(5000, "192.0.2.1:2"); got != 2000 {
			t.Errorf("a second later %d pass, want 2000", got)
		}
		for i := range 4096 { // as many sources as are remembered
			passed(1, fmt.Sprintf("10.1.%d.%d:1", i>>8, i&255))
			if i%100 == 0 && passed(1, here) != 0 {
				t.Fatalf("a source that comes all the time was forgotten after %d others", i)
			}
		}
		if passed(1, there) != 1 {
			t.Error("a source that was idle for 4,096 others is refused, want it forgotten")
		}
		for sent := 0; sent < 60_000; sent += 3000 { // the worst of Graph
			time.Sleep(3 * time.Second)
			if got := passed(3000, "20.20.33.1:1"); got != 3000 {
				t.Fatalf("%d of 3,000 requests that were held up for 3 s pass, want all", got)
			}
		}
	})
}

func TestRefusalsAreConstant(t *testing.T) {
	log, told := logger()
	counted := map[int]int{}
	h := public(accepted, server.PublicConfig{
		Allow: networks("20.20.32.0/19"), Rate: 1, Log: log, Refused: func(status int) { counted[status]++ },
	})
	for range 2 {
		post(h, "20.20.33.1:1") // the whole bucket
	}
	for name, tt := range map[string]struct {
		peer       string
		status     int
		retryAfter string
	}{
		"not allowed": {here, http.StatusForbidden, ""},
		"too often":   {"20.20.33.1:2", http.StatusTooManyRequests, "1"},
	} {
		for range 5 {
			got := post(h, tt.peer)
			if got.Code != tt.status || got.Body.Len() != 0 || got.Header().Get("Retry-After") != tt.retryAfter {
				t.Errorf("%s: answer = %d %v %q, want %d, no body, Retry-After %q", name, got.Code, got.Header(), got.Body, tt.status, tt.retryAfter)
			}
		}
		if counted[tt.status] != 5 {
			t.Errorf("%s: %d are counted, want 5", name, counted[tt.status])
		}
	}
	if got := strings.Count(told.String(), "\n"); got != 2 {
		t.Errorf("%d lines are logged, want one for each reason:\n%s", got, told)
	}
}

// addressed is a connection from somewhere.
type addressed struct {
	net.Conn
	from string
}

func (a addressed) RemoteAddr() net.Addr { return from(a.from) }

type from string

func (from) Network() string  { return "tcp" }
func (f from) String() string { return string(f) }

// way is a guarded server in a bubble.
type way struct {
	*pipes
	release chan struct{} // ends the requests that hold

	mu     sync.Mutex
	bodies map[int]int // that were passed on, by length; guarded by mu
}

// guarded runs a story with a server that answers 200 when it has the body, to requests
// that hold not before they are released.
func guarded(t *testing.T, story func(t *testing.T, w *way)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &way{pipes: newPipes(), release: make(chan struct{}), bodies: map[int]int{}}
		stop := serve(w.pipes, public(w.answer, server.PublicConfig{}).ServeHTTP)
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
	w.bodies[len(body)]++
	w.mu.Unlock()
	if r.Header.Get("Hold") != "" {
		<-w.release
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

// answered returns what became of a call.
func (c *call) answered() int { <-c.done; return c.status }

func declared(size int) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nContent-Length: %d", notifications, size)
}

const (
	undeclared = "POST " + notifications + " HTTP/1.1\r\nTransfer-Encoding: chunked"
	hold       = "\r\nHold: 1"
)

// chunked is the beginning of a body of undeclared length.
func chunked(body string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(body), body) }

func spaces(n int) string { return strings.Repeat(" ", n) }

func TestWhatIsPassedOn(t *testing.T) {
	before := func(n int, from, head, body string) func(w *way) {
		return func(w *way) {
			for range n {
				w.call(from, head, body)
			}
		}
	}
	slow := func(head, body string) func(w *way) { return before(900, here, head, body) }
	working := before(2, here, declared(1)+hold, "1")
	tests := map[string]struct {
		before     func(w *way)
		head, body string
		status     int
		within     time.Duration
	}{
		"nothing else is in flight":                   {nil, declared(4), "1234", 200, 0},
		"slow senders that declare much":              {slow(declared(4*mib), "{"), declared(4), "1234", 200, 0},
		"slow senders that don't declare how much":    {slow(undeclared, chunked("{")), declared(4), "1234", 200, 0},
		"slow senders that declare little":            {slow(declared(9), "{"), declared(4), "1234", 200, 0},
		"slow senders that sent a part":               {slow(declared(4*mib), spaces(20*kib)), declared(4), "1234", 200, 0},
		"slow senders of a source, a long one of it":  {before(1, here, declared(4*mib), spaces(20*kib)), declared(mib), spaces(mib), 200, 1500 * time.Millisecond},
		"slow senders of a source, one of another":    {before(9, here, declared(4*mib), spaces(20*kib)), "POST " + notifications + " HTTP/1.1\r\nFrom-There: 1\r\nContent-Length: 4194304", spaces(4 * mib), 200, 0},
		"long ones in flight take all: a short one":   {before(1, here, declared(4*mib)+hold, spaces(4*mib)), declared(16 * kib), spaces(16 * kib), 200, 0},
		"long ones in flight take all: a long one":    {before(1, here, declared(4*mib)+hold, spaces(4*mib)), declared(mib), spaces(mib), 503, 1500 * time.Millisecond},
		"as many as may work":                         {working, declared(1), "1", 503, 400 * time.Millisecond},
		"a length that is too long":                   {nil, declared(4*mib + 1), "", 413, 0},
		"one that turns out to be too long":           {nil, undeclared, chunked(spaces(4*mib + 1)), 413, 0},
		"a body that breaks off":                      {nil, undeclared, "zz\r\n", 400, 0},
		"a body that breaks off after 16 KiB":         {nil, undeclared, chunked(spaces(16*kib)) + "zz\r\n", 400, 0},
		"a body that stops":                           {nil, declared(9), "{", 408, 5 * time.Second},
		"a long body that stops":                      {nil, declared(200 * kib), spaces(100 * kib), 408, time.Second},
		"a long body of undeclared length that stops": {nil, undeclared, chunked(spaces(100 * kib)), 408, time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			guarded(t, func(t *testing.T, w *way) {
				if tt.before != nil {
					tt.before(w)
				}
				from := here
				if strings.Contains(tt.head, "From-There") {
					from = there
				}
				c := w.call(from, tt.head, tt.body)
				if got := c.answered(); got != tt.status || c.took > tt.within {
					t.Errorf("answer = %d after %v, want %d within %v", got, c.took, tt.status, tt.within)
				}
			})
		})
	}
}
