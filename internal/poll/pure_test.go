package poll

import (
	"fmt"
	"testing"
	"testing/synctest"
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
			first := firstRead(phase, tt.interval, now)
			if wait := first.Sub(now); wait <= 0 || wait > tt.interval || first.UnixNano()%int64(tt.interval) != int64(phase) {
				t.Fatalf("firstRead = %v after now, at %v, want the next %v", wait, first.UnixNano()%int64(tt.interval), phase)
			}
		}
		for phase, n := range taken {
			if fair := 4000 / len(taken); n > 2*fair+10 {
				t.Errorf("%d mailboxes at %v of %v, want about %d", n, phase, tt.interval, fair)
			}
		}
	}
}

func TestALateReadComesBackToItsPhase(t *testing.T) {
	const ms = time.Millisecond
	start := time.Unix(1_800_000_000, 0)
	tests := map[string]struct{ phase, due, now, want time.Duration }{
		"in time":                    {0, 0, 0, 2000 * ms},
		"late: by small steps":       {0, 0, 900 * ms, 2837500 * time.Microsecond},
		"the next one in time":       {0, 2837 * ms, 2837 * ms, 4000 * ms},
		"late, but near its phase":   {0, 0, 30 * ms, 2000 * ms},
		"asked for before its phase": {2000 * ms, 2000 * ms, 50 * ms, 2000 * ms},
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

func TestVerdicts(t *testing.T) {
	const interval = 2 * time.Second
	tests := map[string]struct {
		err        error
		n          int
		othersRead bool
		want       verdict // wait: the longest
	}{
		"away, the first":                   {ooo.ErrUnavailable, 1, true, verdict{Unavailable, 0, false}},
		"away, too often":                   {ooo.ErrUnavailable, 3, true, verdict{Unavailable, 0, true}},
		"rejected":                          {ooo.ErrRejected, 3, true, verdict{Unavailable, 0, true}},
		"no login for anybody":              {ooo.ErrUnauthorized, 2, false, verdict{Unavailable, 0, false}},
		"401 while others are read":         {ooo.ErrUnauthorized, 2, true, verdict{Unreadable, 20 * time.Second, true}},
		"denied, the first":                 {ooo.ErrDenied, 1, true, verdict{Unreadable, 10 * time.Second, true}},
		"denied for long":                   {ooo.ErrDenied, 50, true, verdict{Unreadable, 5 * time.Minute, true}},
		"no mailbox":                        {ooo.ErrNoMailbox, 2, true, verdict{Unreadable, 20 * time.Second, true}},
		"no mailbox of a user who is there": {errAbsent, 1, true, verdict{Unreadable, time.Minute, true}},
		"the directory was not asked":       {errNotAsked, 3, true, verdict{Unavailable, 40 * time.Second, true}},
		"a bad setting":                     {ooo.ErrBadSetting, 9, true, verdict{Unreadable, 0, true}},
		"a short Retry-After":               {&ooo.Throttled{After: 3 * time.Second}, 1, true, verdict{Throttled, 3 * time.Second, false}},
		"a long Retry-After":                {&ooo.Throttled{After: time.Minute}, 1, true, verdict{Throttled, time.Minute, true}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := judge(fmt.Errorf("read: %w", tt.err), tt.n, tt.othersRead, interval)
			if got.wait > tt.want.wait || got.wait < tt.want.wait*4/5 {
				t.Errorf("wait = %v, want %v less up to a fifth", got.wait, tt.want.wait)
			}
			if got.wait = tt.want.wait; got != tt.want {
				t.Errorf("judge = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestConcurrencyFollowsWhatGraphCanTake(t *testing.T) {
	const usual = 50 * time.Millisecond
	// rounds have as many calls in flight as there may be.
	rounds := func(c *concurrency, n int, refused bool) {
		for range n {
			began, inFlight := time.Now(), int(c.limit)
			time.Sleep(usual)
			for range inFlight {
				c.ended(began, usual, refused)
			}
			time.Sleep(time.Millisecond)
		}
	}
	tests := map[string]struct {
		story func(c *concurrency)
		want  func(before, after int) bool
	}{
		"a good round lets one more in":           {func(c *concurrency) { rounds(c, 1, false) }, func(b, a int) bool { return a == b || a == b+1 }},
		"good rounds let in more, up to a bound":  {func(c *concurrency) { rounds(c, 200, false) }, func(_, a int) bool { return a == mostCalls }},
		"a bad round takes a third, however many": {func(c *concurrency) { rounds(c, 1, true) }, func(b, a int) bool { return a == b*2/3 || a == b*2/3+1 }},
		"bad rounds take more, down to a bound":   {func(c *concurrency) { rounds(c, 50, true) }, func(_, a int) bool { return a == leastCalls }},
		"a bad round and good ones find it again": {func(c *concurrency) { rounds(c, 1, true); rounds(c, 30, false) }, func(b, a int) bool { return a >= b }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &concurrency{limit: (leastCalls + mostCalls) / 2}
				rounds(c, 1, false)
				before := int(c.limit)
				tt.story(c)
				if after := int(c.limit); !tt.want(before, after) {
					t.Errorf("limit = %d, was %d", after, before)
				}
			})
		})
	}
}
