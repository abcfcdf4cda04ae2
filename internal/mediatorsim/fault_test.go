package mediatorsim_test

import (
	"context"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/mediatorsim"
)

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
