package server_test

import (
	"io"
	"testing"
	"time"
)

func TestBodiesArePassedOnWhole(t *testing.T) {
	guarded(t, func(t *testing.T, w *way) {
		for _, size := range []int{
			0, 1, 16*kib - 1, 16 * kib, 16*kib + 1, 80*kib - 1, 80 * kib, 80*kib + 1, 144 * kib, 256*kib - 1, 4*mib - 1, 4 * mib,
		} {
			calls := []*call{w.call(here, declared(size), spaces(size))}
			if size > 0 {
				calls = append(calls, w.call(here, undeclared, chunked(spaces(size))+"0\r\n\r\n"))
			}
			for _, c := range calls {
				if got := c.answered(); got != 200 {
					t.Errorf("answer to %d bytes = %d, want 200", size, got)
				}
			}
			w.mu.Lock()
			if got := w.bodies[size]; got != len(calls) {
				t.Errorf("%d bodies of %d bytes were passed on (%v), want %d", got, size, w.bodies, len(calls))
			}
			w.mu.Unlock()
		}
	})
}

func TestABodyMayTakeItsTime(t *testing.T) {
	tests := map[string]struct {
		head, first string
		every       time.Duration // a piece more comes
		piece       string
		status      int
		after       time.Duration
	}{
		"a byte now and then":              {declared(99), "{", time.Second, "1", 408, 5 * time.Second},
		"a byte now and then, and it ends": {declared(5), "{", 1100 * time.Millisecond, "1", 200, 4400 * time.Millisecond},
		"a long one crawls":                {declared(200 * kib), spaces(65 * kib), 100 * time.Millisecond, "1", 408, time.Second},
		"a long one is slow":               {declared(200 * kib), spaces(20 * kib), 300 * time.Millisecond, spaces(36 * kib), 200, 1500 * time.Millisecond},
		"a long one does not end":          {declared(4 * mib), spaces(20 * kib), 450 * time.Millisecond, spaces(32 * kib), 408, 8 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			guarded(t, func(t *testing.T, w *way) {
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

func TestWhoWaitsIsServedWhenItsTurnComesInTime(t *testing.T) {
	guarded(t, func(t *testing.T, w *way) {
		w.call(here, declared(1)+hold, "1")
		w.call(here, declared(1)+hold, "1")
		c := w.call(here, declared(1), "1")
		time.Sleep(300 * time.Millisecond)
		w.release <- struct{}{}
		if got := c.answered(); got != 200 {
			t.Errorf("answer = %d, want 200", got)
		}
	})
}
