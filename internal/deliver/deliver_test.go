package deliver_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/deliver"
	"outlook-monitor/internal/ooo"
)

var (
	back = ooo.State{Message: "old"}
	away = ooo.State{Away: true, Message: "Back on Monday."}
)

func TestWhatAnAnswerMeans(t *testing.T) {
	pending, refused, delivered := ooo.DeliveryPending, ooo.DeliveryRefused, ooo.DeliveryDelivered
	tests := map[string]struct {
		reply reply
		state ooo.DeliveryState
		first time.Duration // wait after the first try, doubling
		most  time.Duration
	}{
		"200 is delivered":                      {reply{code: 200}, delivered, 0, 0},
		"204 is delivered":                      {reply{code: 204}, delivered, 0, 0},
		"404 is refused":                        {reply{code: 404}, refused, 5 * time.Second, 15 * time.Minute},
		"400 is refused":                        {reply{code: 400}, refused, 5 * time.Second, 15 * time.Minute},
		"401 is refused":                        {reply{code: 401}, refused, 5 * time.Second, 15 * time.Minute},
		"405 is refused":                        {reply{code: 405}, refused, 5 * time.Second, 15 * time.Minute},
		"410 is refused":                        {reply{code: 410}, refused, 5 * time.Second, 15 * time.Minute},
		"422 is refused":                        {reply{code: 422}, refused, 5 * time.Second, 15 * time.Minute},
		"403 means its voice mail is away":      {reply{code: 403}, pending, time.Second, time.Minute},
		"429 without a wait is tried again":     {reply{code: 429}, pending, time.Second, time.Minute},
		"500 is tried again":                    {reply{code: 500}, pending, time.Second, time.Minute},
		"503 is tried again":                    {reply{code: 503}, pending, time.Second, time.Minute},
		"a redirect is not followed":            {reply{code: 302}, pending, time.Second, time.Minute},
		"no connection is tried again":          {reply{err: errors.New("connection refused")}, pending, time.Second, time.Minute},
		"a wait of no seconds is none":          {reply{code: 503, after: "0"}, pending, time.Second, time.Minute},
		"a wait that can't be read is none":     {reply{code: 503, after: "soon"}, pending, time.Second, time.Minute},
		"a date that has passed is no wait":     {reply{code: 503, after: "Mon, 02 Jan 1995 15:04:05 GMT"}, pending, time.Second, time.Minute},
		"a negative wait is none for a refusal": {reply{code: 404, after: "-7"}, refused, 5 * time.Second, 15 * time.Minute},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.reply = func(call) reply { return tt.reply }
				w.change("ann", away)
				stop := w.start(t, 0)
				time.Sleep(3 * time.Hour)
				stop()
				calls := w.heard("ann")
				if got := w.receipt("ann").State; got != tt.state {
					t.Errorf("state = %s, want %s", got, tt.state)
				}
				if tt.state == delivered {
					if len(calls) != 1 {
						t.Errorf("told %d times, want once", len(calls))
					}
					return
				}
				wait := tt.first
				for i := 1; i < len(calls); i++ {
					if gap := calls[i].at.Sub(calls[i-1].at); gap < wait*4/5 || gap > wait+50*time.Millisecond {
						t.Fatalf("wait %d = %v, want at most a fifth less than %v", i, gap, wait)
					}
					wait = min(2*wait, tt.most)
				}
				if wait != tt.most {
					t.Errorf("waits grew to %v in %d tries, want %v", wait, len(calls), tt.most)
				}
				if text := w.receipt("ann").Error; text == "" || strings.Contains(text, "mediator.example") {
					t.Errorf("error = %q, want a sentence without the URL", text)
				}
			})
		})
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	tests := map[string]struct {
		code  int
		after func() string
		want  time.Duration
	}{
		"in seconds":              {503, func() string { return "120" }, 2 * time.Minute},
		"as a date":               {429, func() string { return time.Now().UTC().Add(7 * time.Minute).Format(http.TimeFormat) }, 7 * time.Minute},
		"not with a refusal":      {404, func() string { return "40" }, 100 * time.Millisecond}, // a newer state comes at once
		"at most an hour":         {503, func() string { return "86400" }, time.Hour},
		"a date of another year":  {503, func() string { return time.Now().UTC().AddDate(1, 0, 0).Format(http.TimeFormat) }, time.Hour},
		"more than a number has":  {503, func() string { return strings.Repeat("9", 30) }, time.Hour},
		"less than the own waits": {503, func() string { return "1" }, time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.reply = func(c call) reply {
					if c.turn == 1 {
						return reply{code: tt.code, after: tt.after()}
					}
					return reply{code: 200}
				}
				w.change("ann", away)
				stop := w.start(t, 0)
				time.Sleep(100 * time.Millisecond)
				w.change("ann", back) // a newer state does not cut it short
				time.Sleep(tt.want / 2)
				w.mark("ann")
				time.Sleep(2 * time.Hour)
				stop()
				calls := w.heard("ann")
				if len(calls) != 2 || calls[1].status != "False" {
					t.Fatalf("calls = %v, want two, the second with the newer state", calls)
				}
				if gap := calls[1].at.Sub(calls[0].at); gap < tt.want || gap > tt.want+time.Second {
					t.Errorf("tried again after %v, want %v", gap, tt.want)
				}
			})
		})
	}
}

func TestATryThatTakesTooLongIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.reply = func(c call) reply {
			if c.turn == 1 {
				return reply{code: 200, takes: time.Hour}
			}
			return reply{code: 200, takes: 29 * time.Second}
		}
		w.change("ann", away)
		stop := w.start(t, 0)
		time.Sleep(30*time.Second + time.Millisecond)
		synctest.Wait()
		if r := w.receipt("ann"); r.State != ooo.DeliveryPending || r.Error != "no answer in time" {
			t.Errorf("after 30 s: %s %q, want pending and no answer in time", r.State, r.Error)
		}
		time.Sleep(time.Minute)
		stop()
		if r := w.receipt("ann"); r.State != ooo.DeliveryDelivered || r.Parcel.Attempt != 2 || w.token != 2 {
			t.Errorf("then: %s at attempt %d of %d claims, want delivered at the second of two", r.State, r.Parcel.Attempt, w.token)
		}
	})
}

func TestTheWebhookIDStaysTheSameForOneState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.reply = func(c call) reply {
			if c.turn < 4 {
				return reply{code: 503}
			}
			return reply{code: 200}
		}
		w.change("ann", away)
		stop := w.start(t, 0)
		time.Sleep(time.Minute)
		w.change("ann", back)
		time.Sleep(time.Minute)
		stop()
		ids := map[string]int{}
		for _, c := range w.heard("ann") {
			ids[c.status+" "+c.header.Get("Webhook-Id")]++
		}
		if ids["True msg_ann_1"] != 4 || ids["False msg_ann_2"] != 1 || len(ids) != 2 {
			t.Errorf("ids = %v, want the first four times and a new one for the new state", ids)
		}
		if first, last := w.calls[0].header.Get("Webhook-Timestamp"), w.calls[3].header.Get("Webhook-Timestamp"); first == last {
			t.Errorf("timestamp = %s for the first and the last try, want each its own", first)
		}
	})
}

func TestANewerStateCutsAWaitShort(t *testing.T) {
	for name, code := range map[string]int{"after a refusal": 404, "after a failure": 500} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.reply = func(c call) reply {
					if c.status == "True" {
						return reply{code: code}
					}
					return reply{code: 200}
				}
				w.change("ann", away)
				stop := w.start(t, 0)
				time.Sleep(time.Hour)
				changed := time.Now()
				w.change("ann", back)
				time.Sleep(50 * time.Millisecond)
				stop()
				calls := w.heard("ann")
				if last := calls[len(calls)-1]; last.status != "False" || last.at.Before(changed) {
					t.Errorf("last call %s at %v, want the new state at once", last.status, last.at.Sub(changed))
				}
			})
		})
	}
}

func TestAMonitorRequestCutsTheWaitAfterARefusalShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.reply = func(call) reply { return reply{code: 404} }
		w.change("ann", away)
		stop := w.start(t, 0)
		time.Sleep(time.Hour)
		before := len(w.heard("ann"))
		w.mark("ann")
		time.Sleep(50 * time.Millisecond)
		stop()
		if got := len(w.heard("ann")); got != before+1 {
			t.Errorf("calls = %d, want %d: one more at once", got, before+1)
		}
	})
}

func TestOnlyTheNewestStateArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.reply = func(c call) reply { return reply{code: 200, takes: time.Second} }
		w.change("ann", ooo.State{Away: true, Message: "1"})
		stop := w.start(t, 0)
		time.Sleep(500 * time.Millisecond)
		for i := 2; i < 6; i++ { // while the first is on its way
			w.change("ann", ooo.State{Away: true, Message: fmt.Sprint(i)})
		}
		time.Sleep(10 * time.Second)
		stop()
		var got []string
		for _, c := range w.heard("ann") {
			got = append(got, c.message)
		}
		if !slices.Equal(got, []string{"1", "5"}) || w.most != 1 {
			t.Errorf("messages = %v with %d in flight, want 1 and 5, one at a time", got, w.most)
		}
		if len(w.sinces) != 2 || w.sinces[0] < time.Second || w.sinces[0] > 2*time.Second {
			t.Errorf("time from change to delivery = %v, want two, the first a second or a little more", w.sinces)
		}
	})
}

func TestAtMostSoManyAtATime(t *testing.T) {
	for workers, want := range map[int]int{0: 8, 3: 3} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.reply = func(call) reply { return reply{code: 200, takes: time.Second} }
			for i := range 30 {
				w.change(fmt.Sprintf("user%02d", i), away)
			}
			stop := w.start(t, workers)
			time.Sleep(time.Minute)
			stop()
			if w.most != want || len(w.calls) != 30 {
				t.Errorf("%d workers: %d calls, %d in flight at most, want 30 and %d", workers, len(w.calls), w.most, want)
			}
		})
	}
}

func TestASlowAnswerForOneHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.reply = func(c call) reply {
			if strings.HasPrefix(c.email, "slow") {
				return reply{code: 200, takes: 25 * time.Second}
			}
			return reply{code: 200, takes: 10 * time.Millisecond}
		}
		w.change("slow", away)
		stop := w.start(t, 2)
		time.Sleep(time.Second)
		for i := range 20 {
			w.change(fmt.Sprintf("user%02d", i), away)
		}
		time.Sleep(5 * time.Second)
		w.set(func() {
			if len(w.calls) != 21 || len(w.told) != 20 {
				t.Errorf("while one is slow: %d calls, %d done, want 21 and 20", len(w.calls), len(w.told))
			}
		})
		time.Sleep(30 * time.Second)
		stop()
		if len(w.heard("slow")) != 1 || len(w.told) != 21 {
			t.Errorf("slow one told %d times and %d done, want 1 and 21: its lease is extended", len(w.heard("slow")), len(w.told))
		}
	})
}

func TestWhatRedisSaysAndHowItFails(t *testing.T) {
	tests := map[string]struct {
		prepare func(w *world)
		calls   int
		left    bool // still in the queue
	}{
		"a user who left is not told":                    {func(w *world) { w.records["ann"].gone = true }, 0, false},
		"a state that was acknowledged is not sent":      {func(w *world) { w.records["ann"].done = 1 }, 0, false},
		"Redis can't be asked: nothing is sent":          {func(w *world) { w.beginErr = errors.New("away") }, 0, true},
		"another holds the claim: nothing is sent":       {func(w *world) { w.beginErr = ooo.ErrStale }, 0, true},
		"an outcome that was not recorded is sent again": {func(w *world) { w.saveErr = errors.New("away") }, 2, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.change("ann", away)
				tt.prepare(w)
				stop := w.start(t, 0)
				time.Sleep(20 * time.Second)
				stop()
				if got := len(w.heard("ann")); got != tt.calls {
					t.Errorf("told %d times, want %d", got, tt.calls)
				}
				if left := !w.records["ann"].due.IsZero(); left != tt.left {
					t.Errorf("still due = %t, want %t", left, tt.left)
				}
			})
		})
	}
}

func TestStopping(t *testing.T) {
	tests := map[string]struct {
		takes time.Duration
		state ooo.DeliveryState
	}{
		"what ends in time is recorded":        {5 * time.Second, ooo.DeliveryDelivered},
		"what doesn't is due at once, not ill": {25 * time.Second, ooo.DeliveryPending},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.reply = func(call) reply { return reply{code: 200, takes: tt.takes} }
				w.change("ann", away)
				stop := w.start(t, 0)
				time.Sleep(100 * time.Millisecond)
				stop()
				if r := w.receipt("ann"); r.State != tt.state {
					t.Errorf("state = %s, want %s", r.State, tt.state)
				}
				if r := w.records["ann"]; r.held != "" || tt.state == ooo.DeliveryPending && r.due.After(time.Now()) {
					t.Errorf("held by %q, due %v, want it free and due at once", r.held, r.due)
				}
			})
		})
	}
}

func TestNewSaysWhatIsMissing(t *testing.T) {
	if _, err := deliver.New(deliver.Config{}); err == nil {
		t.Error("New without anything = nil, want an error")
	}
	if _, err := deliver.NewSyncer(deliver.SyncConfig{}); err == nil {
		t.Error("NewSyncer without anything = nil, want an error")
	}
}
