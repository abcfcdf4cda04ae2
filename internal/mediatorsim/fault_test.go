package mediatorsim_test

import (
	"context"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/mediatorsim"
)

func TestReactions(t *testing.T) {
	type reaction = mediatorsim.Reaction
	tests := map[string]struct {
		reaction     reaction
		want         int
		acknowledged bool
	}{
		"delay only":         {reaction{Delay: time.Millisecond}, 200, true},
		"error status":       {reaction{Status: 403}, 403, false},
		"success status":     {reaction{Status: 204}, 204, true},
		"delay and a status": {reaction{Delay: time.Millisecond, Status: 500}, 500, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := start(t, mediatorsim.Config{})
			s.Add(ann)
			s.Answer(func(c mediatorsim.Call) reaction {
				if c.Email != ann || c.Status != "True" {
					t.Errorf("react got %+v, want Ann with True", c)
				}
				return tt.reaction
			})
			if got := setStatus(t, s, ann, "True"); got != tt.want {
				t.Errorf("setstatus = %d, want %d", got, tt.want)
			}
			if calls := s.Calls(); len(calls) != 1 || calls[0].Answered != tt.want {
				t.Errorf("Calls = %+v, want one answered %d", calls, tt.want)
			}
			if _, ok := s.State(ann); ok != tt.acknowledged {
				t.Errorf("State exists = %t, want %t", ok, tt.acknowledged)
			}
			s.Answer(nil)
			if got := setStatus(t, s, ann, "False"); got != 200 {
				t.Errorf("setstatus without a reaction = %d, want 200", got)
			}
		})
	}
}

// hang makes s leave calls unanswered until the caller gives up or s stops.
func hang(s *mediatorsim.Server) {
	s.Answer(func(mediatorsim.Call) mediatorsim.Reaction { return mediatorsim.Reaction{Delay: time.Hour} })
}

func TestAway(t *testing.T) {
	received := make(chan mediatorsim.Call, 10)
	s := start(t, mediatorsim.Config{Received: func(c mediatorsim.Call) { received <- c }})
	s.Add(ann)
	url := s.URL()
	hang(s)
	cut := make(chan int)
	go func() { cut <- setStatus(t, s, ann, "True") }()
	await.True(t, "the call has arrived", func() bool { return len(s.Calls()) == 1 })
	s.Away(true)
	if got := <-cut; got != 0 {
		t.Errorf("setstatus in flight = %d, want no answer", got)
	}
	call := <-received
	if _, ok := s.State(ann); ok || call.Answered != 0 {
		t.Errorf("Received = %+v, State exists = %t, want no acknowledgement", call, ok)
	}
	s.Answer(nil)
	for range 3 {
		s.Away(true)
		calls := len(s.Calls())
		if got := setStatus(t, s, ann, "True"); got != 0 || len(s.Calls()) != calls {
			t.Errorf("setstatus while away = %d, want no answer", got)
		}
		s.Away(false)
		s.Away(false)
		if got := setStatus(t, s, ann, "True"); got != 200 || s.URL() != url {
			t.Errorf("setstatus afterwards = %d at %s, want 200 at %s", got, s.URL(), url)
		}
	}
}

func TestRunWaitsForRequests(t *testing.T) {
	received := make(chan mediatorsim.Call, 1)
	s, err := mediatorsim.New(mediatorsim.Config{Received: func(c mediatorsim.Call) { received <- c }})
	if err != nil {
		t.Fatal(err)
	}
	hang(s)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	got := make(chan int)
	go func() { got <- setStatus(t, s, ann, "True") }()
	await.True(t, "the call has arrived", func() bool { return len(s.Calls()) == 1 })
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if len(received) != 1 {
		t.Error("Run ended before the call in flight, want it to wait")
	}
	if got := <-got; got != 0 {
		t.Errorf("setstatus = %d, want no answer", got)
	}
	s.Away(false) // has no effect after Run
	if got := setStatus(t, s, ann, "True"); got != 0 {
		t.Errorf("setstatus after Run = %d, want no answer", got)
	}
}
