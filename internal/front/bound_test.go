package front_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/front"
)

// post is a request to a bounded path whose body is size bytes long; -1: it does
// not say.
func post(ctx context.Context, path string, size int64) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, nil)
	r.ContentLength = size
	return r
}

func posting(path string, size int64) func(context.Context) *http.Request {
	return func(ctx context.Context) *http.Request { return post(ctx, path, size) }
}

func TestWhatIsBeyondTheBoundIsRefused(t *testing.T) {
	cfg := front.BoundConfig{Paths: []string{"/in"}, Requests: 4, Bytes: 1000, Most: 400}
	tests := map[string]struct {
		held   []int64 // sizes of what is in hand
		next   func(ctx context.Context) *http.Request
		status int
	}{
		"there is room":                              {[]int64{100, 100, 100}, posting("/in", 400), 200},
		"too many requests":                          {[]int64{1, 1, 1, 1}, posting("/in", 1), 503},
		"too many bytes":                             {[]int64{400, 400}, posting("/in", 300), 503},
		"bytes that still fit":                       {[]int64{400, 400}, posting("/in", 200), 200},
		"an untold length counts as the longest":     {[]int64{400, 400}, posting("/in", -1), 503},
		"one that is too long counts as the longest": {[]int64{400}, posting("/in", 1<<40), 200},
		"another path":                               {[]int64{1, 1, 1, 1}, posting("/out", 1), 200},
		"another method": {[]int64{1, 1, 1, 1}, func(ctx context.Context) *http.Request {
			return httptest.NewRequestWithContext(ctx, http.MethodGet, "/in", nil)
		}, 200},
		"a handshake": {[]int64{1, 1, 1, 1}, posting("/in?validationToken=x", 0), 200},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log, out := logger()
				release := make(chan struct{})
				refused := 0
				cfg := cfg
				cfg.Log, cfg.Refused = log, func() { refused++ }
				h := front.Bound(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Hold") != "" {
						<-release
					}
				}), cfg)
				var held sync.WaitGroup
				for _, size := range tt.held {
					r := post(t.Context(), "/in", size)
					r.Header.Set("Hold", "1")
					held.Go(func() { h.ServeHTTP(httptest.NewRecorder(), r) })
				}
				synctest.Wait()
				began, answer := time.Now(), httptest.NewRecorder()
				h.ServeHTTP(answer, tt.next(t.Context()))
				took := time.Since(began)
				if answer.Code != tt.status || took >= 500*time.Millisecond {
					t.Errorf("answer = %d after %v, want %d within 500 ms", answer.Code, took, tt.status)
				}
				if no := tt.status == 503; no != (refused == 1) || no != (answer.Header().Get("Retry-After") != "") || no != strings.Contains(out.String(), "refused") {
					t.Errorf("refused %d times, headers %v, log %q: want it told if and only if it was", refused, answer.Header(), out.String())
				}
				close(release)
				held.Wait()
				answer = httptest.NewRecorder()
				if h.ServeHTTP(answer, post(t.Context(), "/in", -1)); answer.Code != 200 {
					t.Errorf("answer once there is room = %d, want 200", answer.Code)
				}
			})
		})
	}
}

func TestWhoWaitsGetsInWhenThereIsRoomInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := front.Bound(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(300 * time.Millisecond) }),
			front.BoundConfig{Paths: []string{"/in"}, Requests: 2, Bytes: 1000, Most: 100})
		var mu sync.Mutex
		codes := map[int]int{}
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() {
				answer := httptest.NewRecorder()
				h.ServeHTTP(answer, post(t.Context(), "/in", 100))
				mu.Lock()
				defer mu.Unlock()
				codes[answer.Code]++
			})
		}
		all.Wait()
		if got := fmt.Sprint(codes); got != "map[200:4 503:2]" {
			t.Errorf("answers = %s, want four in two turns, and two refused", got)
		}
	})
}
