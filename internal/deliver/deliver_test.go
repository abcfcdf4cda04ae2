package deliver_test

import (
	"errors"
	"fmt"
	"net/http"
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

func TestWhatAnAnswerMeans(t *testing.T) {
	pending, refused, delivered := ooo.DeliveryPending, ooo.DeliveryRefused, ooo.DeliveryDelivered
	tests := map[string]struct {
		reply reply
		state ooo.DeliveryState
		first time.Duration // wait after the first attempt, doubling
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
		"429 without a wait is retried":         {reply{code: 429}, pending, time.Second, time.Minute},
		"500 is retried":                        {reply{code: 500}, pending, time.Second, time.Minute},
		"503 is retried":                        {reply{code: 503}, pending, time.Second, time.Minute},
		"a redirect is not followed":            {reply{code: 302}, pending, time.Second, time.Minute},
		"no connection is retried":              {reply{err: errors.New("connection refused")}, pending, time.Second, time.Minute},
		"a wait of no seconds is none":          {reply{code: 503, after: "0"}, pending, time.Second, time.Minute},
		"a wait that can't be read is none":     {reply{code: 503, after: "soon"}, pending, time.Second, time.Minute},
		"a date that has passed is no wait":     {reply{code: 503, after: "Mon, 02 Jan 1995 15:04:05 GMT"}, pending, time.Second, time.Minute},
		"a negative wait is none for a refusal": {reply{code: 404, after: "-7"}, refused, 5 * time.Second, 15 * time.Minute},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			delivering(t, func(t *testing.T, w *world) {
				time.Sleep(time.Hour)
				calls, d := w.received("ann"), w.delivery("ann")
				if d.State != tt.state {
					t.Errorf("state = %s, want %s", d.State, tt.state)
				}
				if tt.state == delivered {
					if len(calls) != 1 || d.Sequence != 1 || d.Error != "" {
						t.Errorf("%d calls, %+v, want one call, sequence 1", len(calls), d)
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
				if wait != tt.most || d.Attempts != len(calls) {
					t.Errorf("waits grew to %v in %d attempts of %d calls, want %v", wait, d.Attempts, len(calls), tt.most)
				}
				if d.Error == "" || strings.Contains(d.Error, "mediator.example") {
					t.Errorf("error = %q, want a sentence without the URL", d.Error)
				}
				if got := strings.Count(w.log.String(), "retrying"); got != 1 || strings.Contains(strings.ToLower(w.log.String()), "@") {
					t.Errorf("log = %s, want one line for all failures, without an address", w.log.String())
				}
				failed := len(slices.DeleteFunc(w.history(), func(e string) bool { return e != "failed 1" }))
				if want := map[ooo.DeliveryState]int{pending: 1}[tt.state]; failed != want {
					t.Errorf("history has %d failures, want %d", failed, want)
				}
			}, tt.reply)
		})
	}
}

func TestEachKindOfFailureStartsWithItsOwnFirstWait(t *testing.T) {
	var replies []reply
	for _, code := range []int{503, 503, 503, 503, 404, 404, 503, 200} {
		replies = append(replies, reply{code: code})
	}
	delivering(t, func(t *testing.T, w *world) {
		time.Sleep(time.Minute)
		calls := w.received("ann")
		if len(calls) != len(replies) {
			t.Fatalf("%d calls, want %d", len(calls), len(replies))
		}
		for i, want := range []time.Duration{1, 2, 4, 8, 5, 10, 1} {
			want *= time.Second
			if gap := calls[i+1].at.Sub(calls[i].at); gap < want*4/5 || gap > want+50*time.Millisecond {
				t.Errorf("wait after call %d = %v, want %v or a little less", i+1, gap, want)
			}
		}
	}, replies...)
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
			inBubble(t, func(t *testing.T, w *world) {
				w.reply = inTurn(reply{code: tt.code, after: tt.after()}, reply{code: 200})
				defer w.start(8)()
				w.monitor("ann")
				w.change("ann", away)
				time.Sleep(100 * time.Millisecond)
				w.change("ann", back) // a newer state does not cut it short
				time.Sleep(tt.want / 2)
				w.ask("ann") // nor does a monitor request
				time.Sleep(time.Hour)
				calls := w.received("ann")
				if len(calls) != 2 || calls[1].Status != "False" {
					t.Fatalf("calls = %v, want two, the second with the newer state", calls)
				}
				// An HTTP date has whole seconds.
				if gap := calls[1].at.Sub(calls[0].at); gap < tt.want-time.Second || gap > tt.want+time.Second {
					t.Errorf("wait = %v, want %v", gap, tt.want)
				}
			})
		})
	}
}

func TestAnAttemptThatTakesTooLongIsGivenUp(t *testing.T) {
	delivering(t, func(t *testing.T, w *world) {
		time.Sleep(30*time.Second + 100*time.Millisecond)
		if d := w.delivery("ann"); d.State != ooo.DeliveryPending || d.Error != "no answer in time" || !d.InFlightSince.IsZero() {
			t.Errorf("after 30 s: %+v, want pending and no answer in time", d)
		}
		time.Sleep(time.Minute)
		if d := w.delivery("ann"); d.State != ooo.DeliveryDelivered || d.Attempts != 2 || len(w.received("ann")) != 2 {
			t.Errorf("then: %+v, want delivered at the second attempt", d)
		}
	}, reply{code: 200, takes: time.Hour}, reply{code: 200, takes: 29 * time.Second})
}

func TestTheWebhookIDBelongsToTheState(t *testing.T) {
	delivering(t, func(t *testing.T, w *world) {
		time.Sleep(time.Minute)
		w.change("ann", back)
		time.Sleep(time.Minute)
		ids := map[string]int{}
		for _, c := range w.received("ann") {
			ids[c.header.Get("Webhook-Id")]++
		}
		first, last := w.calls[0].header, w.calls[4].header
		if ids[first.Get("Webhook-Id")] != 4 || ids[last.Get("Webhook-Id")] != 1 || len(ids) != 2 {
			t.Errorf("ids = %v, want the first four times and another one for the new state", ids)
		}
		if first.Get("Webhook-Timestamp") == w.calls[3].header.Get("Webhook-Timestamp") {
			t.Error("the first and the last attempt have the same timestamp, want each its own")
		}
	}, reply{code: 503}, reply{code: 503}, reply{code: 503}, reply{code: 200})
}

func TestWhatCutsAWaitShort(t *testing.T) {
	tests := map[string]struct {
		code int
		what func(w *world)
	}{
		"a newer state, after a refusal":    {404, func(w *world) { w.change("ann", back) }},
		"a newer state, after a failure":    {500, func(w *world) { w.change("ann", back) }},
		"a monitor request after a refusal": {404, func(w *world) { w.ask("ann") }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			delivering(t, func(t *testing.T, w *world) {
				time.Sleep(40 * time.Minute)
				before := len(w.received("ann"))
				tt.what(w)
				time.Sleep(50 * time.Millisecond)
				if got := len(w.received("ann")) - before; got != 1 {
					t.Errorf("%d calls at once, want 1", got)
				}
			}, reply{code: tt.code})
		})
	}
}

// The mediator may have learned of the user while it was refusing the state.
func TestAMonitorRequestDuringARefusedAttemptIsNotLost(t *testing.T) {
	refusal := reply{code: 404, takes: 2 * time.Second}
	delivering(t, func(t *testing.T, w *world) {
		for len(w.received("ann")) < 6 {
			time.Sleep(100 * time.Millisecond)
		}
		w.ask("ann")
		time.Sleep(3 * time.Second)
		if d := w.delivery("ann"); d.State != ooo.DeliveryDelivered {
			t.Errorf("delivery = %+v, want delivered right after the refusal", d)
		}
	}, refusal, refusal, refusal, refusal, refusal, refusal, reply{code: 200})
}

func TestOnlyTheNewestStateArrives(t *testing.T) {
	tests := map[string]struct {
		code int // of the first
		want []string
	}{
		"the one in flight is acknowledged": {200, []string{
			"started", "changed 1", "changed 2", "changed 3", "changed 4", "delivered 1", "overtaken 2", "overtaken 3", "delivered 4"}},
		"the one in flight fails": {500, []string{
			"started", "changed 1", "changed 2", "changed 3", "changed 4", "failed 1", "overtaken 1", "overtaken 2", "overtaken 3", "delivered 4"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.reply = inTurn(reply{code: tt.code, takes: time.Second}, reply{code: 200, takes: time.Second})
				defer w.start(8)()
				w.monitor("ann")
				w.change("ann", ooo.State{Away: true, Message: "1"})
				time.Sleep(500 * time.Millisecond)
				for i := 2; i < 5; i++ { // while the first is on its way
					w.change("ann", ooo.State{Away: true, Message: fmt.Sprint(i)})
				}
				time.Sleep(10 * time.Second)
				var got []string
				for _, c := range w.received("ann") {
					got = append(got, c.Message)
				}
				if !slices.Equal(got, []string{"1", "4"}) || w.most != 1 {
					t.Errorf("messages = %v with %d in flight, want 1 and 4, one at a time", got, w.most)
				}
				if history := w.history(); !slices.Equal(history, tt.want) {
					t.Errorf("history = %v, want %v", history, tt.want)
				}
				if len(w.sinces) != 2 || w.sinces[0] < time.Second || w.sinces[0] > 2*time.Second {
					t.Errorf("time from change to delivery = %v, want two, the first a second or a little more", w.sinces)
				}
				if d := w.delivery("ann"); d.Sequence != 4 || d.State != ooo.DeliveryDelivered || !d.NextAttemptAt.IsZero() {
					t.Errorf("delivery = %+v, want 4 delivered", d)
				}
			})
		})
	}
}

func TestAtMostSoManyAtATime(t *testing.T) {
	for concurrency, want := range map[int]int{8: 8, 3: 3} {
		inBubble(t, func(t *testing.T, w *world) {
			w.reply = func(call) reply { return reply{code: 200, takes: time.Second} }
			defer w.start(concurrency)()
			users := names("user", 30)
			w.monitor(users...)
			for _, name := range users {
				w.change(name, away)
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Minute)
			if w.most != want || len(w.calls) != 30 {
				t.Errorf("concurrency %d: %d calls, %d in flight at most, want 30 and %d", concurrency, len(w.calls), w.most, want)
			}
			var order []string
			for _, c := range w.calls {
				order = append(order, strings.ToLower(strings.TrimSuffix(c.Email, "@Contoso.example")))
			}
			for i, name := range order { // those at the same time may change their order
				if at := slices.Index(users, name); at <= i-want || at >= i+want {
					t.Errorf("%s was sent as number %d, want %d or nearly so", name, i, at)
				}
			}
		})
	}
}

func names(prefix string, n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("%s%02d", prefix, i))
	}
	return names
}

func TestASlowAnswerForOneHoldsUpNoOther(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.reply = func(c call) reply {
			if strings.HasPrefix(c.Email, "Slow") {
				return reply{code: 200, takes: 25 * time.Second}
			}
			return reply{code: 200, takes: 10 * time.Millisecond}
		}
		defer w.start(2)()
		w.monitor(append(names("user", 20), "slow")...)
		w.change("slow", away)
		time.Sleep(time.Second)
		for _, name := range names("user", 20) {
			w.change(name, away)
		}
		time.Sleep(5 * time.Second)
		w.set(func() {
			if len(w.calls) != 21 || len(w.attempts) != 20 {
				t.Errorf("while one is slow: %d calls, %d done, want 21 and 20", len(w.calls), len(w.attempts))
			}
		})
		time.Sleep(30 * time.Second)
		if len(w.received("slow")) != 1 || len(w.attempts) != 21 {
			t.Errorf("slow one: %d calls, %d done, want 1 and 21", len(w.received("slow")), len(w.attempts))
		}
	})
}
