package poll

import (
	"fmt"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

func TestPhases(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		interval  time.Duration
		mailboxes int
		step      time.Duration
	}{
		{2 * time.Second, 4000, 100 * ms}, {2 * time.Second, 100, 200 * ms},
		{200 * ms, 4000, 10 * ms}, {time.Minute, 4000, 100 * ms}, {3, 4000, 1},
	} {
		taken := map[time.Duration]int{}
		for i := range 4000 {
			phase := phaseOf(ooo.RecordID(fmt.Sprintf("user%d", i)), tt.interval, tt.mailboxes)
			if phase < 0 || phase >= tt.interval || phase%tt.step != 0 {
				t.Fatalf("phaseOf(%v) = %v, want a multiple of %v", tt.interval, phase, tt.step)
			}
			taken[phase]++
			now := time.Unix(1_800_000_000, int64(i)*7_919_000)
			first := firstInPhase(phase, tt.interval, now)
			if wait := first.Sub(now); wait <= 0 || wait > tt.interval || first.UnixNano()%int64(tt.interval) != int64(phase) {
				t.Fatalf("firstInPhase = %v after now, at %v, want the next %v", wait, first.UnixNano()%int64(tt.interval), phase)
			}
		}
		for phase, n := range taken {
			if fair := 4000 / len(taken); n > 2*fair+10 {
				t.Errorf("%d mailboxes at %v of %v, want about %d", n, phase, tt.interval, fair)
			}
		}
	}
}

func TestLateReadReturnsToPhase(t *testing.T) {
	const ms = time.Millisecond
	start := time.Unix(1_800_000_000, 0)
	tests := map[string]struct{ phase, due, now, want time.Duration }{
		"in time":                {0, 0, 0, 2000 * ms},
		"late":                   {0, 0, 900 * ms, 2837500 * time.Microsecond},
		"in time after late":     {0, 2837 * ms, 2837 * ms, 4000 * ms},
		"slightly late":          {0, 0, 30 * ms, 2000 * ms},
		"before the first phase": {2000 * ms, 2000 * ms, 50 * ms, 2000 * ms},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			target := target{phase: start.Add(tt.phase), due: start.Add(tt.due)}
			if got := target.next(start.Add(tt.now), 2*time.Second).Sub(start); got != tt.want {
				t.Errorf("next = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestEffectOf(t *testing.T) {
	tests := map[string]struct {
		err        error
		n          int
		othersRead bool
		want       effect // wait: the longest
	}{
		"unavailable once":          {ooo.ErrUnavailable, 1, true, effect{Unavailable, 0, false}},
		"unavailable too often":     {ooo.ErrUnavailable, 3, true, effect{Unavailable, 0, true}},
		"rejected":                  {ooo.ErrRejected, 3, true, effect{Unavailable, 0, true}},
		"401 for all":               {ooo.ErrUnauthorized, 2, false, effect{Unavailable, 0, false}},
		"401 while others are read": {ooo.ErrUnauthorized, 2, true, effect{Unreadable, 20 * time.Second, true}},
		"denied once":               {ooo.ErrDenied, 1, true, effect{Unreadable, 10 * time.Second, true}},
		"denied 50 times":           {ooo.ErrDenied, 50, true, effect{Unreadable, 5 * time.Minute, true}},
		"user without mailbox":      {errAbsent, 1, true, effect{Unreadable, time.Minute, true}},
		"unverified":                {errUnverified, 3, true, effect{Unavailable, 40 * time.Second, true}},
		"bad setting":               {ooo.ErrBadSetting, 9, true, effect{Unreadable, 0, true}},
		"short Retry-After":         {&ooo.Throttled{After: 3 * time.Second}, 1, true, effect{Throttled, 3 * time.Second, false}},
		"long Retry-After":          {&ooo.Throttled{After: time.Minute}, 1, true, effect{Throttled, time.Minute, true}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := effectOf(fmt.Errorf("read: %w", tt.err), tt.n, tt.othersRead, 2*time.Second)
			if got.wait > tt.want.wait || got.wait < tt.want.wait*4/5 {
				t.Errorf("wait = %v, want %v less at most a fifth", got.wait, tt.want.wait)
			}
			if got.wait = tt.want.wait; got != tt.want {
				t.Errorf("effectOf = %+v, want %+v", got, tt.want)
			}
		})
	}
}
