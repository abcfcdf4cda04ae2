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
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/server"
)

const (
	notifications = "/graph/notifications"
	here          = "192.0.2.1:1"
	there         = "192.0.2.2:1"
	kib           = 1 << 10
	mib           = 1 << 20
)

// public returns next behind a Public, with defaults.
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

// post sends a POST request from a peer.
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

func TestAllowedSources(t *testing.T) {
	h := public(accepted, server.PublicConfig{
		Allow: networks("20.20.32.0/19", "2603:1000::/24"), Proxies: networks("10.0.0.0/8", "fd00::/8"),
	})
	for name, tt := range map[string]struct {
		peer      string
		forwarded []string
		want      int
	}{
		"allowed":                   {"20.20.33.1:1234", nil, 202},
		"allowed, IPv6":             {"[2603:1000::7]:1234", nil, 202},
		"allowed, IPv4-mapped IPv6": {"[::ffff:20.20.33.1]:1234", nil, 202},
		"not allowed":               {here, nil, 403},
		"forged header":             {here, []string{"20.20.33.1"}, 403},
		"unknown peer":              {"@", nil, 403},
		"proxy":                     {"10.0.0.1:1234", []string{"20.20.33.1"}, 202},
		"proxy, address with port":  {"10.0.0.1:1234", []string{"20.20.33.1:5678"}, 202},
		"proxy, IPv6":               {"[fd00::1]:1234", []string{"[2603:1000::7]:5678"}, 202},
		"two proxies, two headers":  {"10.0.0.1:1234", []string{"192.0.2.1, 20.20.33.1", "10.9.9.9"}, 202},
		"proxy, forged entry":       {"10.0.0.1:1234", []string{"20.20.33.1, 192.0.2.1"}, 403},
		"proxy, forged header":      {"10.0.0.1:1234", []string{"20.20.33.1", "192.0.2.1"}, 403},
		"proxy without header":      {"10.0.0.1:1234", nil, 403},
		"proxy, invalid entry":      {"10.0.0.1:1234", []string{"20.20.33.1, unknown"}, 403},
		"only proxies":              {"10.0.0.1:1234", []string{"10.0.0.3, 10.0.0.2"}, 403},
	} {
		if got := post(h, tt.peer, tt.forwarded...).Code; got != tt.want {
			t.Errorf("%s: status = %d, want %d", name, got, tt.want)
		}
	}
}

func TestSourceRates(t *testing.T) {
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
			{"address", here, nil, 4000},
			{"other address", there, nil, 4000},
			{"behind a proxy", "10.0.0.1:1", []string{"198.51.100.1"}, 4000},
			{"other address behind the proxy", "10.0.0.1:1", []string{"198.51.100.2"}, 4000},
			{"IPv6 address", "[2001:db8:0:1::1]:1", nil, 4000},
			{"same /64", "[2001:db8:0:1:ffff::2]:1", nil, 0},
			{"other /64", "[2001:db8:0:2::1]:1", nil, 4000},
		} {
			if got := passed(5000, tt.peer, tt.forwarded...); got != tt.want {
				t.Errorf("%s: %d of 5,000 requests at once pass, want %d", tt.name, got, tt.want)
			}
		}
		time.Sleep(time.Second)
		if got := passed(5000, "192.0.2.1:2"); got != 2000 {
			t.Errorf("a second later %d pass, want 2000", got)
		}
		for i := range 4096 { // as many sources as have a limiter
			passed(1, fmt.Sprintf("10.1.%d.%d:1", i>>8, i&255))
			if i%100 == 0 && passed(1, here) != 0 {
				t.Fatalf("an active source was evicted after %d others", i)
			}
		}
		if passed(1, there) != 1 {
			t.Error("a source that was idle for 4,096 others is refused, want it evicted")
		}
		for sent := 0; sent < 60_000; sent += 3000 { // the most that Graph sends
			time.Sleep(3 * time.Second)
			if got := passed(3000, "20.20.33.1:1"); got != 3000 {
				t.Fatalf("%d of 3,000 requests at once after 3 s pass, want all", got)
			}
		}
	})
}

func TestRefusedRequests(t *testing.T) {
	log, out := programtest.Logger()
	counted := map[int]int{}
	h := public(accepted, server.PublicConfig{
		Allow: networks("20.20.32.0/19"), Rate: 1, Log: log, Refused: func(status int) { counted[status]++ },
	})
	for range 2 {
		post(h, "20.20.33.1:1") // empties the bucket
	}
	for name, tt := range map[string]struct {
		peer       string
		status     int
		retryAfter string
	}{
		"not allowed": {here, http.StatusForbidden, ""},
		"over rate":   {"20.20.33.1:2", http.StatusTooManyRequests, "1"},
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
	if got := strings.Count(out.String(), "\n"); got != 2 {
		t.Errorf("%d lines are logged, want one for each reason:\n%s", got, out)
	}
}

// guardedServer is a server behind a Public, in a bubble.
type guardedServer struct {
	*programtest.Pipes
	release chan struct{} // ends requests with a Hold header
}

// guarded calls test with a server that answers with the length of the body. It answers
// requests with a Hold header when they are released.
func guarded(t *testing.T, test func(t *testing.T, s *guardedServer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &guardedServer{programtest.NewPipes(), make(chan struct{})}
		serving(t, s, public(s.answer, server.PublicConfig{}), nil)
		defer close(s.release)
		test(t, s)
	})
}

func (s *guardedServer) answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if r.Header.Get("Hold") != "" {
		<-s.release
	}
	fmt.Fprint(w, len(body))
}

// call is a request in flight.
type call struct {
	conn   net.Conn
	done   chan struct{} // closed once the following are valid
	status int           // of the answer, or 0 if there was none
	body   string
	took   time.Duration
}

// call sends a request, or a part of one, from an address.
func (s *guardedServer) call(from, head, body string) *call {
	client := s.Dial(from)
	c := &call{conn: client, done: make(chan struct{})}
	began := time.Now()
	go func() { _, _ = io.WriteString(client, head+"\r\nHost: a\r\n\r\n"+body) }()
	go func() {
		defer close(c.done)
		defer client.Close()
		answer, err := http.ReadResponse(bufio.NewReader(client), nil)
		if c.took = time.Since(began); err == nil {
			c.status = answer.StatusCode
			body, _ := io.ReadAll(answer.Body)
			c.body = string(body)
		}
	}()
	synctest.Wait()
	return c
}

// answered waits for the answer and returns its status.
func (c *call) answered() int { <-c.done; return c.status }

func declared(size int) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nContent-Length: %d", notifications, size)
}

const (
	undeclared = "POST " + notifications + " HTTP/1.1\r\nTransfer-Encoding: chunked"
	hold       = "\r\nHold: 1"
	fromThere  = "\r\nFrom-There: 1" // makes TestOverload send the request from there
)

// chunked returns the first chunk of a body of undeclared length.
func chunked(body string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(body), body) }

func spaces(n int) string { return strings.Repeat(" ", n) }

func TestOverload(t *testing.T) {
	before := func(n int, from, head, body string) func(s *guardedServer) {
		return func(s *guardedServer) {
			for range n {
				s.call(from, head, body)
			}
		}
	}
	slow := func(head, body string) func(s *guardedServer) { return before(900, here, head, body) }
	slowLong := declared(4 * mib)
	memoryInUse := before(1, here, declared(4*mib)+hold, spaces(4*mib))
	working := before(2, here, declared(1)+hold, "1")
	workingShortly := func(s *guardedServer) {
		working(s)
		time.AfterFunc(300*time.Millisecond, func() { s.release <- struct{}{} })
	}
	for name, tt := range map[string]struct {
		before     func(s *guardedServer)
		head, body string
		status     int
		within     time.Duration
	}{
		"idle":                                 {nil, declared(4), "1234", 200, 0},
		"slow senders, long":                   {slow(declared(4*mib), "{"), declared(4), "1234", 200, 0},
		"slow senders, undeclared length":      {slow(undeclared, chunked("{")), declared(4), "1234", 200, 0},
		"slow senders, short":                  {slow(declared(9), "{"), declared(4), "1234", 200, 0},
		"slow senders, over 16 KiB":            {slow(declared(4*mib), spaces(20*kib)), declared(4), "1234", 200, 0},
		"long beside a slow one of its source": {before(1, here, slowLong, spaces(20*kib)), declared(mib), spaces(mib), 200, 1500 * time.Millisecond},
		"long beside slow ones of another":     {before(9, here, slowLong, spaces(20*kib)), declared(4*mib) + fromThere, spaces(4 * mib), 200, 0},
		"memory in use, short body":            {memoryInUse, declared(16 * kib), spaces(16 * kib), 200, 0},
		"memory in use, long body":             {memoryInUse, declared(mib), spaces(mib), 503, 1500 * time.Millisecond},
		"queued for concurrency":               {workingShortly, declared(1), "1", 200, 300 * time.Millisecond},
		"over the concurrency":                 {working, declared(1), "1", 503, 400 * time.Millisecond},
		"declared length too long":             {nil, declared(4*mib + 1), "", 413, 0},
		"undeclared length too long":           {nil, undeclared, chunked(spaces(4*mib + 1)), 413, 0},
		"malformed":                            {nil, undeclared, "zz\r\n", 400, 0},
		"malformed after 16 KiB":               {nil, undeclared, chunked(spaces(16*kib)) + "zz\r\n", 400, 0},
		"stalled, undeclared length":           {nil, undeclared, chunked(spaces(100 * kib)), 408, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			guarded(t, func(t *testing.T, s *guardedServer) {
				if tt.before != nil {
					tt.before(s)
				}
				from := here
				if strings.Contains(tt.head, fromThere) {
					from = there
				}
				c := s.call(from, tt.head, tt.body)
				if got := c.answered(); got != tt.status || c.took > tt.within {
					t.Errorf("answer = %d after %v, want %d within %v", got, c.took, tt.status, tt.within)
				}
			})
		})
	}
}
