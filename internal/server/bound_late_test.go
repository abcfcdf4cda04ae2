package server_test

import (
	"testing"
	"time"
)

// TestWhoFindsNoPlaceMayBeRemembered takes all places by requests whose bodies came.
func TestWhoFindsNoPlaceMayBeRemembered(t *testing.T) {
	tests := map[string]struct {
		late       bool
		head, body string
		status     int
		ended      int // passed on, with a context that has ended
	}{
		"a short body":                     {true, told(9), "123456789", 200, 1},
		"a short body of untold length":    {true, untold, chunked("123456789") + "0\r\n\r\n", 200, 1},
		"no body":                          {true, told(0), "", 200, 1},
		"as long as it may be":             {true, told(kib), spaces(kib), 200, 1},
		"a longer one":                     {true, told(kib + 1), spaces(kib + 1), 503, 0},
		"a longer one of untold length":    {true, untold, chunked(spaces(2*kib)) + "0\r\n\r\n", 503, 0},
		"a body that does not come":        {true, told(9), "1", 503, 0},
		"what is not worth remembering":    {false, told(9), "123456789", 503, 0},
		"a body that is too long as it is": {true, told(257 * kib), "", 413, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := narrow
			cfg.EachSource, cfg.Wait, cfg.Late = cfg.Requests, 5*time.Second, tt.late
			bounded(t, cfg, func(t *testing.T, w *way) {
				for range cfg.Requests {
					w.call(here, told(1)+hold, "1")
				}
				c := w.call(there, tt.head, tt.body)
				if got := c.answered(); got != tt.status || c.took > time.Second {
					t.Errorf("answer = %d after %v, want %d within a second", got, c.took, tt.status)
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				refused := 1
				if tt.status == 413 {
					refused = 0
				}
				if w.ended != tt.ended || w.refused != refused {
					t.Errorf("passed on with an ended context = %d, refusals told = %d, want %d and %d", w.ended, w.refused, tt.ended, refused)
				}
			})
		})
	}
}
