package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/server"
)

const notifications = "/graph/notifications"

// asks makes a POST of a path from a peer.
func asks(h http.Handler, peer, path string, forwarded ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader("{}"))
	r.RemoteAddr = peer
	for _, value := range forwarded {
		r.Header.Add("X-Forwarded-For", value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func accepted(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }

func networks(all ...string) server.Allow {
	var a server.Allow
	for _, n := range all {
		a = append(a, netip.MustParsePrefix(n))
	}
	return a
}

func TestWhoMayCome(t *testing.T) {
	allow, proxies := networks("20.20.32.0/19", "2603:1000::/24"), networks("10.0.0.0/8", "fd00::/8")
	tests := map[string]struct {
		peer      string
		path      string
		forwarded []string
		want      int
	}{
		"an address of the list":                       {"20.20.33.1:1234", notifications, nil, http.StatusAccepted},
		"an IPv6 address of the list":                  {"[2603:1000::7]:1234", notifications, nil, http.StatusAccepted},
		"an IPv4 address in IPv6":                      {"[::ffff:20.20.33.1]:1234", notifications, nil, http.StatusAccepted},
		"a stranger":                                   {"192.0.2.1:1234", notifications, nil, http.StatusForbidden},
		"a stranger on another path":                   {"192.0.2.1:1234", "/monitor", nil, http.StatusAccepted},
		"a stranger with a query":                      {"192.0.2.1:1234", notifications + "?validationToken=a", nil, http.StatusForbidden},
		"a stranger who escapes the path":              {"192.0.2.1:1234", "/graph/notification%73", nil, http.StatusForbidden},
		"a stranger who pretends":                      {"192.0.2.1:1234", notifications, []string{"20.20.33.1"}, http.StatusForbidden},
		"an unknown peer":                              {"@", notifications, nil, http.StatusForbidden},
		"Graph through a proxy":                        {"10.0.0.1:1234", notifications, []string{"20.20.33.1"}, http.StatusAccepted},
		"Graph through a proxy that adds ports":        {"10.0.0.1:1234", notifications, []string{"20.20.33.1:5678"}, http.StatusAccepted},
		"Graph over IPv6 through a proxy":              {"[fd00::1]:1234", notifications, []string{"[2603:1000::7]:5678"}, http.StatusAccepted},
		"Graph through two proxies":                    {"10.0.0.1:1234", notifications, []string{"20.20.33.1, 10.9.9.9"}, http.StatusAccepted},
		"Graph through two proxies, a header each":     {"10.0.0.1:1234", notifications, []string{"20.20.33.1", "10.9.9.9"}, http.StatusAccepted},
		"a stranger through a proxy":                   {"10.0.0.1:1234", notifications, []string{"192.0.2.1"}, http.StatusForbidden},
		"a stranger who pretends, through a proxy":     {"10.0.0.1:1234", notifications, []string{"20.20.33.1, 192.0.2.1"}, http.StatusForbidden},
		"a stranger with a header of his own":          {"10.0.0.1:1234", notifications, []string{"20.20.33.1", "192.0.2.1"}, http.StatusForbidden},
		"a proxy that doesn't say":                     {"10.0.0.1:1234", notifications, nil, http.StatusForbidden},
		"a proxy that says nonsense":                   {"10.0.0.1:1234", notifications, []string{"20.20.33.1, unknown"}, http.StatusForbidden},
		"a proxy that says nothing behind a comma":     {"10.0.0.1:1234", notifications, []string{"20.20.33.1,"}, http.StatusForbidden},
		"proxies all the way, of which the first asks": {"10.0.0.1:1234", notifications, []string{"10.0.0.3, 10.0.0.2"}, http.StatusForbidden},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := server.Guard(http.HandlerFunc(accepted), server.GuardConfig{Paths: []string{notifications}, Allow: allow, Proxies: proxies})
			if got := asks(h, tt.peer, tt.path, tt.forwarded...).Code; got != tt.want {
				t.Errorf("status = %d, want %d", got, tt.want)
			}
		})
	}
}

func TestRefusalsAreConstant(t *testing.T) {
	log, told := logger()
	h := server.Guard(http.HandlerFunc(accepted), server.GuardConfig{
		Paths: []string{notifications}, Allow: networks("20.20.32.0/19"), Rate: 1, Log: log,
	})
	for range 2 {
		asks(h, "20.20.33.1:1", notifications) // the whole bucket
	}
	for name, tt := range map[string]struct {
		peer       string
		status     int
		retryAfter string
	}{
		"not allowed": {"192.0.2.1:1", http.StatusForbidden, ""},
		"too often":   {"20.20.33.1:2", http.StatusTooManyRequests, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 5 {
				got := asks(h, tt.peer, notifications+"?validationToken=<script>")
				if got.Code != tt.status || got.Body.Len() != 0 || got.Header().Get("Retry-After") != tt.retryAfter ||
					got.Header().Get("X-Content-Type-Options") != "nosniff" || got.Header().Get("Cache-Control") != "no-store" {
					t.Errorf("answer = %d %v %q, want %d, no body, Retry-After %q", got.Code, got.Header(), got.Body, tt.status, tt.retryAfter)
				}
			}
		})
	}
	if got := strings.Count(told.String(), "\n"); got != 2 {
		t.Errorf("%d lines are logged, want one for each reason:\n%s", got, told)
	}
}

func TestFloodsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := server.Guard(http.HandlerFunc(accepted), server.GuardConfig{
			Paths: []string{notifications}, Proxies: networks("10.0.0.0/8"), Rate: 2000,
		})
		passed := func(peer, path string, forwarded ...string) (n int) {
			for range 5000 {
				if asks(h, peer, path, forwarded...).Code == http.StatusAccepted {
					n++
				}
			}
			return n
		}
		for name, tt := range map[string]struct {
			peer, path string
			forwarded  []string
			want       int
		}{
			"5,000 at once from one address":  {"192.0.2.1:1", notifications, nil, 4000},
			"the same on a path not guarded":  {"192.0.2.1:1", "/monitor", nil, 5000},
			"another address":                 {"192.0.2.2:1", notifications, nil, 4000},
			"an address behind a proxy":       {"10.0.0.1:1", notifications, []string{"198.51.100.1"}, 4000},
			"another one behind it":           {"10.0.0.1:1", notifications, []string{"198.51.100.2"}, 4000},
			"one who names another each time": {"192.0.2.3:1", notifications, []string{"198.51.100.3"}, 4000},
		} {
			if got := passed(tt.peer, tt.path, tt.forwarded...); got != tt.want {
				t.Errorf("%s: %d pass, want %d", name, got, tt.want)
			}
		}
		time.Sleep(time.Second)
		if got := passed("192.0.2.1:2", notifications); got != 2000 {
			t.Errorf("a second later %d pass, want 2000", got)
		}
	})
}

func TestGraphIsNeverRefused(t *testing.T) {
	tests := map[string]struct {
		each  time.Duration // between bursts
		burst int
	}{
		"1,000 a second, evenly":                    {time.Millisecond, 1},
		"1,000 a second, in bursts of 1,000":        {time.Second, 1000},
		"1,000 a second, held up for three seconds": {3 * time.Second, 3000},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			limit, source, now := server.NewLimit(2000), netip.MustParseAddr("20.20.33.1"), time.Now()
			for sent := 0; sent < 60_000; now = now.Add(tt.each) {
				for range tt.burst {
					if !limit.Take(source, now) {
						t.Fatalf("request %d is refused", sent)
					}
					sent++
				}
			}
		})
	}
}

func TestSources(t *testing.T) {
	now := time.Now()
	addr := netip.MustParseAddr
	spent := func() *server.Limit {
		l := server.NewLimit(1)
		for _, source := range []string{"192.0.2.1", "2001:db8:0:1::1"} {
			l.Take(addr(source), now)
			l.Take(addr(source), now)
		}
		return l
	}
	tests := map[string]struct {
		source string
		want   bool
	}{
		"the address itself":                 {"192.0.2.1", false},
		"its neighbour":                      {"192.0.2.2", true},
		"the IPv6 address itself":            {"2001:db8:0:1::1", false},
		"another address of the same /64":    {"2001:db8:0:1:ffff::2", false},
		"an address of the neighbouring /64": {"2001:db8:0:2::1", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := spent().Take(addr(tt.source), now); got != tt.want {
				t.Errorf("Take = %t, want %t", got, tt.want)
			}
		})
	}
}

// TestSourcesAreForgotten sees by what is let through what is remembered.
func TestSourcesAreForgotten(t *testing.T) {
	now := time.Now()
	limit, busy, quiet := server.NewLimit(1), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for range 2 {
		limit.Take(busy, now)
		limit.Take(quiet, now)
	}
	for i := range 4096 {
		limit.Take(netip.MustParseAddr(fmt.Sprintf("10.%d.%d.1", i>>8, i&255)), now)
		if limit.Take(busy, now) {
			t.Fatalf("a source that comes all the time was forgotten after %d others", i)
		}
	}
	if !limit.Take(quiet, now) {
		t.Error("Take = false, want the source that was quiet for 4,096 others to be forgotten")
	}
}
