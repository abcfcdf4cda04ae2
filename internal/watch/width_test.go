package watch

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWidthFollowsWhatGraphCanTake(t *testing.T) {
	const usual = 50 * time.Millisecond
	// round has all calls that there is room for in flight at once.
	round := func(w *width, took time.Duration, refused bool) {
		var calls []func(time.Duration, bool)
		for range w.room() {
			calls = append(calls, w.begin())
		}
		time.Sleep(took)
		for _, ended := range calls {
			ended(took, refused)
		}
		time.Sleep(time.Millisecond)
	}
	tests := map[string]struct {
		story func(w *width)
		want  func(before, after int) bool
	}{
		"a good round lets one more in":               {func(w *width) { round(w, usual, false) }, func(b, a int) bool { return a == b || a == b+1 }},
		"good rounds let in more, up to a bound":      {func(w *width) { repeat(200, func() { round(w, usual, false) }) }, func(_, a int) bool { return a == 64 }},
		"a bad round shuts out a third, however many": {func(w *width) { round(w, usual, true) }, func(b, a int) bool { return a == b*2/3 }},
		"bad rounds shut out more, down to a bound":   {func(w *width) { repeat(50, func() { round(w, usual, true) }) }, func(_, a int) bool { return a == 8 }},
		"a slow round shuts out a tenth":              {func(w *width) { round(w, 2*time.Second, false) }, func(b, a int) bool { return a == b*9/10 }},
		"a few slow mailboxes shut out nobody": {func(w *width) {
			for n := range 2000 {
				took := usual
				if n%10 == 0 {
					took = 30 * usual
				}
				w.begin()(took, false)
			}
		}, func(b, a int) bool { return a == b }},
		"slowness that lasts becomes usual":              {func(w *width) { repeat(400, func() { round(w, 600*time.Millisecond, false) }) }, func(_, a int) bool { return a == 64 }},
		"what is not used does not grow":                 {func(w *width) { repeat(1000, func() { w.begin()(usual, false) }) }, func(b, a int) bool { return a == b }},
		"a bad round and good ones find the level again": {func(w *width) { round(w, usual, true); repeat(30, func() { round(w, usual, false) }) }, func(b, a int) bool { return a >= b }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWidth(8, 64)
				round(w, usual, false)
				before := w.room()
				tt.story(w)
				if after := w.room(); !tt.want(before, after) {
					t.Errorf("room = %d, was %d", after, before)
				}
			})
		})
	}
}

func repeat(n int, what func()) {
	for range n {
		what()
	}
}
