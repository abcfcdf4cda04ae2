package poll

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
)

func TestPlaces(t *testing.T) {
	for _, interval := range []time.Duration{2 * time.Second, 200 * time.Millisecond, time.Minute, 3 * time.Nanosecond} {
		step, taken := min(50*time.Millisecond, max(interval/40, 1)), map[time.Duration]int{}
		for i := range 4000 {
			id := ooo.RecordID(fmt.Sprintf("user%d", i))
			place := placeOf(id, interval)
			if place < 0 || place >= interval || place%step != 0 {
				t.Fatalf("placeOf(%v) = %v, want a multiple of %v", interval, place, step)
			}
			taken[place]++
			now := time.Unix(1_800_000_000, int64(i)*7_919_000)
			first := firstPlace(id, interval, now)
			if wait := first.Sub(now); wait <= 0 || wait > interval || first.UnixNano()%int64(interval) != int64(place) {
				t.Fatalf("firstPlace = %v after now, at %v, want the next %v", wait, first.UnixNano()%int64(interval), place)
			}
		}
		for place, n := range taken {
			if fair := 4000 / len(taken); n > 2*fair+10 {
				t.Errorf("%d mailboxes at %v of %v, want about %d", n, place, interval, fair)
			}
		}
	}
}

func TestALateReadComesBackToItsPlace(t *testing.T) {
	const ms = time.Millisecond
	start := time.Unix(1_800_000_000, 0)
	tests := map[string]struct {
		place, began, ended time.Duration
		behind              bool
		want                time.Duration
	}{
		"in time":                     {0, 0, 50 * ms, false, 2000 * ms},
		"late, with slack: at once":   {0, 900 * ms, 950 * ms, false, 2000 * ms},
		"behind: by small steps":      {0, 900 * ms, 950 * ms, true, 2837500 * time.Microsecond},
		"behind, but near its place":  {0, 30 * ms, 80 * ms, true, 2000 * ms},
		"it took longer than that":    {0, 0, 5100 * ms, false, 6000 * ms},
		"before its place":            {2000 * ms, 0, 50 * ms, false, 2000 * ms},
		"before it, by a whole cycle": {4000 * ms, 0, 0, false, 2000 * ms},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			target := target{place: start.Add(tt.place)}
			if got := target.next(start.Add(tt.began), start.Add(tt.ended), 2*time.Second, tt.behind).Sub(start); got != tt.want {
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
		"away, the first":                   {ooo.ErrUnavailable, 1, true, verdict{Unavailable, 0, false, false}},
		"away, too often":                   {ooo.ErrUnavailable, 3, true, verdict{Unavailable, 0, false, true}},
		"rejected":                          {ooo.ErrRejected, 3, true, verdict{Unavailable, 0, false, true}},
		"no login for anybody":              {ooo.ErrUnauthorized, 2, false, verdict{Unavailable, 0, false, false}},
		"401 while others are read":         {ooo.ErrUnauthorized, 2, true, verdict{Unreadable, 20 * time.Second, false, true}},
		"denied, the first":                 {ooo.ErrDenied, 1, true, verdict{Unreadable, 10 * time.Second, false, true}},
		"denied for long":                   {ooo.ErrDenied, 50, true, verdict{Unreadable, 5 * time.Minute, false, true}},
		"no mailbox":                        {ooo.ErrNoMailbox, 2, true, verdict{Unreadable, 20 * time.Second, false, true}},
		"no mailbox of a user who is there": {errAbsent, 1, true, verdict{Unreadable, time.Minute, false, true}},
		"the directory was not asked":       {errNotAsked, 3, true, verdict{Unavailable, 40 * time.Second, false, true}},
		"a bad setting":                     {ooo.ErrBadSetting, 9, true, verdict{Unreadable, 0, false, true}},
		"a short Retry-After":               {&ooo.Throttled{After: 3 * time.Second}, 1, true, verdict{Throttled, 3 * time.Second, true, false}},
		"a long Retry-After":                {&ooo.Throttled{After: time.Minute}, 1, true, verdict{Throttled, time.Minute, true, true}},
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
	// round has as many calls in flight as there may be.
	round := func(c *concurrency, took time.Duration, refused bool) {
		var releases []func()
		for range int(c.limit) {
			releases = append(releases, c.lane(regularCalls)(context.Background()))
		}
		began := time.Now()
		time.Sleep(took)
		for _, release := range releases {
			c.ended(began, took, refused)
			release()
		}
		time.Sleep(time.Millisecond)
	}
	repeat := func(n int, what func()) {
		for range n {
			what()
		}
	}
	tests := map[string]struct {
		story func(c *concurrency)
		want  func(before, after int) bool
	}{
		"a good round lets one more in":           {func(c *concurrency) { round(c, usual, false) }, func(b, a int) bool { return a == b || a == b+1 }},
		"good rounds let in more, up to a bound":  {func(c *concurrency) { repeat(200, func() { round(c, usual, false) }) }, func(_, a int) bool { return a == 64 }},
		"a bad round takes a third, however many": {func(c *concurrency) { round(c, usual, true) }, func(b, a int) bool { return a == b*2/3 }},
		"bad rounds take more, down to a bound":   {func(c *concurrency) { repeat(50, func() { round(c, usual, true) }) }, func(_, a int) bool { return a == 8 }},
		"a slow round takes a tenth":              {func(c *concurrency) { round(c, 2*time.Second, false) }, func(b, a int) bool { return a == b*9/10 }},
		"slowness that lasts becomes usual":       {func(c *concurrency) { repeat(400, func() { round(c, 600*time.Millisecond, false) }) }, func(_, a int) bool { return a == 64 }},
		"what is not used does not grow":          {func(c *concurrency) { repeat(1000, func() { c.ended(time.Now(), usual, false) }) }, func(b, a int) bool { return a == b }},
		"a bad round and good ones find it again": {func(c *concurrency) { round(c, usual, true); repeat(30, func() { round(c, usual, false) }) }, func(b, a int) bool { return a >= b }},
		"a few slow calls among many change nothing": {func(c *concurrency) {
			for n := range 2000 {
				took := usual
				if n%10 == 0 {
					took = 30 * usual
				}
				c.ended(time.Now(), took, false)
			}
		}, func(b, a int) bool { return a == b }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newConcurrency(8, 64)
				round(c, usual, false)
				before := int(c.limit)
				tt.story(c)
				if after := int(c.limit); !tt.want(before, after) {
					t.Errorf("limit = %d, was %d", after, before)
				}
			})
		})
	}
}

// Each kind of calls may have half of the limit, and all of it if nobody else wants any.
func TestHalfOfTheConcurrencyIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConcurrency(10, 10)
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		var inFlight [kinds]int // guarded by mu, as below
		var releases [kinds][]func()
		begin := func(kind, n int) {
			for range n {
				go func() {
					if release := c.lane(kind)(ctx); release != nil {
						mu.Lock()
						defer mu.Unlock()
						inFlight[kind]++
						releases[kind] = append(releases[kind], release)
					}
				}()
			}
			synctest.Wait()
		}
		end := func(kind, n int) {
			mu.Lock()
			for _, release := range releases[kind][:n] {
				release()
				inFlight[kind]--
			}
			releases[kind] = releases[kind][n:]
			mu.Unlock()
			synctest.Wait()
		}
		begin(regularCalls, 30)
		if inFlight != [kinds]int{10, 0} {
			t.Errorf("in flight = %v, want all regular", inFlight)
		}
		begin(hintedCalls, 30)
		end(regularCalls, 8)
		if inFlight[hintedCalls] < 5 || inFlight[0]+inFlight[1] != 10 {
			t.Errorf("in flight = %v, want half of them hinted at least", inFlight)
		}
		end(hintedCalls, inFlight[hintedCalls])
		if inFlight != [kinds]int{5, 5} {
			t.Errorf("in flight = %v, want half and half", inFlight)
		}
		cancel()
		synctest.Wait()
	})
}
