package deliver_test

import (
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
)

func TestAParcelThatIsHandedOverIsSentAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		stop := w.start(t, 2)
		time.Sleep(time.Second)
		w.hand("ann", away)
		time.Sleep(time.Second)
		stop()
		calls, receipt := w.heard("ann"), w.receipt("ann")
		if len(calls) != 1 || calls[0].message != away.Message || w.begun != 0 {
			t.Errorf("told %+v after Begin was called %d times, want once and never", calls, w.begun)
		}
		if receipt.State != ooo.DeliveryDelivered || receipt.Parcel.Attempt != 1 {
			t.Errorf("receipt = %+v, want the first attempt delivered", receipt)
		}
	})
}

func TestAParcelThatHadToWaitIsLookedAtOnceMore(t *testing.T) {
	for name, test := range map[string]struct {
		meanwhile func(r *record)
		want      []string // messages
		attempt   int
	}{
		"nothing happened":           {func(*record) {}, []string{away.Message}, 1},
		"a newer state":              {func(r *record) { r.state, r.sequence = back, 2; r.again = true }, []string{back.Message}, 1},
		"somebody else has the user": {func(r *record) { r.held, r.due = "other", time.Time{} }, nil, 0},
		"nobody wants to know":       {func(r *record) { r.gone = true }, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.reply = func(c call) reply { return reply{code: 200, takes: 2 * time.Second} }
				stop := w.start(t, 1)
				time.Sleep(time.Second)
				w.change("bob", away) // takes the only turn
				time.Sleep(time.Second)
				w.hand("ann", away)
				time.Sleep(500 * time.Millisecond)
				w.set(func() { test.meanwhile(w.records["ann"]) })
				time.Sleep(10 * time.Second)
				stop()
				var got []string
				for _, c := range w.heard("ann") {
					got = append(got, c.message)
				}
				if len(got) != len(test.want) || len(got) == 1 && got[0] != test.want[0] {
					t.Errorf("told %q, want %q", got, test.want)
				}
				if receipt := w.receipt("ann"); receipt.Parcel.Attempt != test.attempt {
					t.Errorf("receipt = %+v, want attempt %d", receipt, test.attempt)
				}
			})
		})
	}
}
