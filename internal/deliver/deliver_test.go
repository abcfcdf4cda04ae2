package deliver_test

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

var (
	back = ooo.State{Message: "old"}
	away = ooo.State{Away: true, Message: "Back on Monday."}
)

func TestAnswers(t *testing.T) {
	pending, refused, delivered := ooo.DeliveryPending, ooo.DeliveryRefused, ooo.DeliveryDelivered
	for name, tt := range map[string]struct {
		reply reply
		state ooo.DeliveryState
	}{
		"204":                       {reply{code: 204}, delivered},
		"404":                       {reply{code: 404}, refused},
		"400":                       {reply{code: 400}, refused},
		"401":                       {reply{code: 401}, refused},
		"405":                       {reply{code: 405}, refused},
		"410":                       {reply{code: 410}, refused},
		"422":                       {reply{code: 422}, refused},
		"403":                       {reply{code: 403}, pending},
		"429":                       {reply{code: 429}, pending},
		"500":                       {reply{code: 500}, pending},
		"redirect":                  {reply{code: 302}, pending},
		"connection refused":        {reply{err: errors.New("connection refused")}, pending},
		"Retry-After 0":             {reply{code: 503, after: "0"}, pending},
		"negative Retry-After, 404": {reply{code: 404, after: "-7"}, refused},
	} {
		t.Run(name, delivery(func(t *testing.T, f *fixture) {
			advance(time.Hour)
			calls, d := f.received("ann"), f.delivery("ann")
			if d.State != tt.state {
				t.Errorf("state = %s, want %s", d.State, tt.state)
			}
			if tt.state == delivered {
				if len(calls) != 1 || d.Sequence != 1 || d.Error != "" {
					t.Errorf("%d calls, %+v, want one call, sequence 1", len(calls), d)
				}
				return
			}
			wait, most, failures, refusals := time.Second, time.Minute, 1, 0 // in the history
			if tt.state == refused {
				wait, most, failures, refusals = 5*time.Second, 15*time.Minute, 0, len(calls)
			}
			for i := 1; i < len(calls); i++ {
				if gap := calls[i].at.Sub(calls[i-1].at); gap < wait*4/5 || gap > wait+50*time.Millisecond {
					t.Fatalf("wait %d = %v, want %v or up to a fifth less", i, gap, wait)
				}
				wait = min(2*wait, most)
			}
			if wait != most || d.Attempts != len(calls) {
				t.Errorf("waits grew to %v in %d attempts of %d calls, want %v", wait, d.Attempts, len(calls), most)
			}
			first, last := calls[0].header, calls[len(calls)-1].header
			if first.Get("Webhook-Id") != last.Get("Webhook-Id") || first.Get("Webhook-Timestamp") == last.Get("Webhook-Timestamp") {
				t.Errorf("headers = %v and %v, want the id of the state and a timestamp for each", first, last)
			}
			if d.Error == "" || strings.Contains(d.Error, "mediator.example") {
				t.Errorf("error = %q, want one without the URL", d.Error)
			}
			if got := strings.Count(f.log.String(), "retrying"); got != 1 || strings.Contains(f.log.String(), "@") {
				t.Errorf("log = %s, want one line for all failures, without an address", f.log.String())
			}
			history := f.history()
			if strings.Count(history, "failed 1") != failures || strings.Count(history, "refused 1") != refusals {
				t.Errorf("history = %s, want %d failures and %d refusals", history, failures, refusals)
			}
		}, tt.reply))
	}
}

func TestNewKindOfFailureResetsBackoff(t *testing.T) {
	var replies []reply
	for _, code := range []int{503, 503, 503, 503, 404, 404, 503, 200} {
		replies = append(replies, reply{code: code})
	}
	withDelivery(t, func(t *testing.T, f *fixture) {
		advance(time.Minute)
		calls := f.received("ann")
		if len(calls) != len(replies) {
			t.Fatalf("%d calls, want %d", len(calls), len(replies))
		}
		for i, want := range []time.Duration{1, 2, 4, 8, 5, 10, 1} {
			want *= time.Second
			if gap := calls[i+1].at.Sub(calls[i].at); gap < want*4/5 || gap > want+50*time.Millisecond {
				t.Errorf("wait after call %d = %v, want %v or up to a fifth less", i+1, gap, want)
			}
		}
	}, replies...)
}

func TestRetryAfter(t *testing.T) {
	for name, tt := range map[string]struct {
		code    int
		after   string // empty: a date in 7 minutes
		latency time.Duration
		want    time.Duration
	}{
		"seconds":                     {503, "120", 0, 2 * time.Minute},
		"newer state during the call": {503, "120", 200 * time.Millisecond, 2 * time.Minute},
		"date":                        {429, "", 0, 7 * time.Minute},
		"with a refusal":              {404, "40", 0, 100 * time.Millisecond}, // a newer state is sent at once
		"more than an hour":           {503, "86400", 0, time.Hour},
		"one second":                  {503, "1", 0, time.Second},
	} {
		t.Run(name, bubble(func(t *testing.T, f *fixture) {
			date := time.Now().UTC().Add(7 * time.Minute).Format(http.TimeFormat)
			f.reply = inOrder(reply{code: tt.code, after: cmp.Or(tt.after, date), latency: tt.latency}, reply{code: 200})
			defer f.start(8)()
			f.monitor("ann")
			f.recordState("ann", away)
			advance(100 * time.Millisecond)
			f.recordState("ann", back) // must not cut the wait short
			advance(tt.want / 2)
			f.hint("ann", ooo.HintWish) // neither must this
			advance(time.Hour)
			calls := f.received("ann")
			if len(calls) != 2 || calls[1].Status != "False" {
				t.Fatalf("calls = %v, want two, the second with the newer state", calls)
			}
			if gap := calls[1].at.Sub(calls[0].at); gap < tt.want-time.Second || gap > tt.want+time.Second { // an HTTP date has whole seconds
				t.Errorf("wait = %v, want %v", gap, tt.want)
			}
		}))
	}
}

func TestAttemptTimesOut(t *testing.T) {
	withDelivery(t, func(t *testing.T, f *fixture) {
		advance(30*time.Second + 100*time.Millisecond)
		later := f.deliver.Backlog(time.Now().Add(500 * time.Millisecond)) // within its wait
		if d := f.delivery("ann"); d.State != ooo.DeliveryPending || d.Error != "no answer in time" || !d.InFlightSince.IsZero() || later.Lag > 0 {
			t.Errorf("after 30 s: %+v, overdue by %v, want pending, no answer in time and a wait", d, later.Lag)
		}
		advance(time.Minute)
		if d := f.delivery("ann"); d.State != ooo.DeliveryDelivered || d.Attempts != 2 || len(f.received("ann")) != 2 {
			t.Errorf("later: %+v, want delivered at the second attempt", d)
		}
	}, reply{code: 200, latency: time.Hour}, reply{code: 200, latency: 29 * time.Second})
}

func TestEventDuringWait(t *testing.T) {
	newer := func(f *fixture) { f.recordState("ann", back) }
	for name, tt := range map[string]struct {
		code   int
		event  func(f *fixture)
		within time.Duration
		calls  int
	}{
		"newer state after a refusal":     {404, newer, 50 * time.Millisecond, 1},
		"newer state after a failure":     {500, newer, 50 * time.Millisecond, 1},
		"monitor request after a refusal": {404, func(f *fixture) { f.hint("ann", ooo.HintWish) }, 50 * time.Millisecond, 1},
		"monitoring ends":                 {503, func(f *fixture) { f.stopMonitoring("ann") }, 10 * time.Minute, 0},
		"monitoring restarts":             {503, func(f *fixture) { f.stopMonitoring("ann"); f.monitor("ann"); newer(f) }, 50 * time.Millisecond, 1},
		"partition drains":                {503, (*fixture).drain, 10 * time.Minute, 0},
	} {
		t.Run(name, delivery(func(t *testing.T, f *fixture) {
			advance(40 * time.Minute)
			before, saves := len(f.received("ann")), len(f.store.Saves())
			tt.event(f)
			advance(tt.within)
			saves = len(f.store.Saves()) - saves
			if got := len(f.received("ann")) - before; got != tt.calls || before < 6 || saves > 4 {
				t.Errorf("%d calls before, %d after with %d saves, want six before at least and %d after with 4 at most", before, got, saves, tt.calls)
			}
		}, reply{code: tt.code}))
	}
}

// A monitor request ends the wait after a refusal, but not that after a failure.
func TestFailureDespiteMonitorRequest(t *testing.T) {
	withDelivery(t, func(t *testing.T, f *fixture) {
		advance(500 * time.Millisecond)
		f.hint("ann", ooo.HintWish)
		advance(time.Second)
		f.hint("ann", ooo.HintWish) // during the second call
		advance(1200 * time.Millisecond)
		if n := len(f.received("ann")); n != 2 {
			t.Errorf("%d calls right after the second failed, want 2", n)
		}
		advance(5 * time.Second)
		if n := len(f.received("ann")); n != 3 {
			t.Errorf("%d calls after the wait, want 3", n)
		}
	}, reply{code: 404}, reply{code: 503, latency: 2 * time.Second}, reply{code: 200})
}

func TestOnlyNewestStateIsSent(t *testing.T) {
	for name, tt := range map[string]struct {
		code int // of the first call
		want string
	}{
		"attempt in flight succeeds": {200, "delivered 1, overtaken 2, overtaken 3, delivered 4"},
		"attempt in flight fails":    {500, "failed 1, overtaken 1, overtaken 2, overtaken 3, delivered 4"},
	} {
		t.Run(name, delivery(func(t *testing.T, f *fixture) {
			advance(500 * time.Millisecond)
			for i := 2; i < 5; i++ { // while the first call is in flight
				f.recordState("ann", ooo.State{Away: true, Message: fmt.Sprint(i)})
			}
			advance(10 * time.Second)
			seen := f.observed()
			if len(seen.calls) != 2 || seen.calls[0].Message != away.Message || seen.calls[1].Message != "4" || seen.peak != 1 {
				t.Fatalf("calls = %v with %d in flight, want the first and the fourth state, one at a time", seen.calls, seen.peak)
			}
			if seen.calls[0].header.Get("Webhook-Id") == seen.calls[1].header.Get("Webhook-Id") {
				t.Error("both states have the same webhook-id, want one for each")
			}
			if gap := seen.calls[1].at.Sub(seen.calls[0].at); gap > 1100*time.Millisecond {
				t.Errorf("second call after %v, want it right after the first", gap)
			}
			if history, want := f.history(), "started, changed 1, changed 2, changed 3, changed 4, "+tt.want; history != want {
				t.Errorf("history = %s, want %s", history, want)
			}
			if len(seen.delays) != 2 || seen.delays[0] < time.Second || seen.delays[0] > 2*time.Second {
				t.Errorf("times from change to delivery = %v, want two, the first from 1 s to 2 s", seen.delays)
			}
			if d := f.delivery("ann"); d.Sequence != 4 || d.State != ooo.DeliveryDelivered || !d.NextAttemptAt.IsZero() {
				t.Errorf("delivery = %+v, want 4 delivered", d)
			}
		}, reply{code: tt.code, latency: time.Second}, reply{code: 200, latency: time.Second}))
	}
}

func TestSlowDeliveriesLeaveCallsToOthers(t *testing.T) {
	for _, slow := range []reply{{latency: time.Hour}, {code: 403, latency: 10 * time.Second}, {code: 200, latency: 10 * time.Second}} {
		t.Run(fmt.Sprint(slow.code), bubble(func(t *testing.T, f *fixture) {
			f.reply = func(c call) reply {
				if strings.HasPrefix(c.Email, "Hang") {
					return slow
				}
				return reply{code: 200}
			}
			stop := f.start(4)
			defer advance(30 * time.Second) // until the last calls have ended
			defer stop()
			hanging := []string{"hang1", "hang2", "hang3", "hang4", "hang5", "hang6"}
			f.monitor(append(hanging, "ann")...)
			for _, name := range hanging {
				f.recordState(name, away)
			}
			advance(3 * time.Minute) // each was tried once at least
			for _, name := range hanging {
				f.hint(name, ooo.HintResend)
			}
			for i := range 100 {
				for _, name := range hanging {
					f.recordState(name, ooo.State{Away: true, Message: fmt.Sprint(i)})
				}
				if i%2 == 0 {
					f.recordState("ann", ooo.State{Away: true, Message: fmt.Sprint(i)})
				} else {
					f.hint("ann", ooo.HintResend)
				}
				advance(time.Second)
				if calls := f.received("ann"); len(calls) != i+1 {
					t.Fatalf("%d calls for ann, want %d", len(calls), i+1)
				}
			}
			f.set(func() { slow = reply{code: 200} })
			advance(10 * time.Minute)
			for _, name := range hanging {
				state := f.delivery(name).State
				f.recordState(name, back)
				if d := f.delivery(name); state != ooo.DeliveryDelivered || d.Attempts != 1 || len(f.received(name)) < 2 {
					t.Errorf("%s: %d calls, %s, then %+v, want several, delivered, and the next at once", name, len(f.received(name)), state, d)
				}
				advance(time.Millisecond)
			}
		}))
	}
}

func TestUnreachableMediatorCountsAsHangingForNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fixture) {
		f.reply = func(call) reply {
			return reply{latency: 5 * time.Second, err: &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}}
		}
		defer f.start(4)()
		for i := range 8 {
			f.monitor(fmt.Sprint(i))
			f.recordState(fmt.Sprint(i), away)
		}
		advance(3 * time.Minute)
		f.set(func() { f.reply = func(call) reply { return reply{code: 200, latency: 20 * time.Second} } })
		advance(6 * time.Second)
		f.set(func() { f.seen.peak = 0 })
		advance(3 * time.Minute)
		if f.seen.peak != 4 {
			t.Errorf("%d calls in flight at most, want all 4", f.seen.peak)
		}
	})
}

func TestConcurrencyLimitAndOrder(t *testing.T) {
	const limit = 3
	inBubble(t, func(t *testing.T, f *fixture) {
		first := inOrder(reply{code: 500, latency: time.Second}, reply{code: 200, latency: 29 * time.Second})
		f.reply = func(c call) reply {
			if c.Email == address("user00") {
				return first(c)
			}
			return reply{code: 200, latency: time.Second}
		}
		defer f.start(limit)()
		var users []string
		for i := range 30 {
			users = append(users, fmt.Sprintf("user%02d", i))
		}
		f.monitor(users...)
		for _, name := range users {
			f.recordState(name, away)
			advance(200 * time.Millisecond)
		}
		advance(20 * time.Second)
		seen := f.observed()
		if seen.peak != limit || len(seen.calls) != 31 || len(seen.attempts) != 30 {
			t.Errorf("%d calls, %d ended, %d in flight, want 31, 30 and at most %d", len(seen.calls), len(seen.attempts), seen.peak, limit)
		}
		for i, c := range seen.calls { // concurrent calls may swap
			name := strings.ToLower(strings.TrimSuffix(c.Email, "@Contoso.example"))
			at := slices.Index(users, name)
			if i > limit && at == 0 {
				at = 10 // it was due again when that one was
			}
			if at <= i-limit || at >= i+limit {
				t.Errorf("%s was sent as number %d, want about %d", name, i, at)
			}
		}
		advance(10 * time.Second)
		if seen := f.observed(); len(seen.calls) != 31 || len(seen.attempts) != 31 {
			t.Errorf("later: %d calls, %d ended, want 31", len(seen.calls), len(seen.attempts))
		}
	})
}
