package mediatorsim_test

import (
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/mediatorsim"
)

func TestCallInFlightIsCut(t *testing.T) {
	tests := map[string]struct {
		end       func(s *mediatorsim.Server, stop func())
		waits     bool // for the call
		afterward int  // status once it listens again
	}{
		"away":    {func(s *mediatorsim.Server, _ func()) { s.Away(true) }, false, 200},
		"stopped": {func(_ *mediatorsim.Server, stop func()) { stop() }, true, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			received := make(chan mediatorsim.Call, 10)
			s, err := mediatorsim.New(mediatorsim.Config{Received: func(c mediatorsim.Call) { received <- c }})
			if err != nil {
				t.Fatal(err)
			}
			stop := await.Run(t, s.Run)
			s.Add(ann)
			s.Answer(func(mediatorsim.Call) mediatorsim.Reaction { return mediatorsim.Reaction{Delay: time.Hour} })
			cut := make(chan int)
			go func() { cut <- setStatus(t, s, ann) }()
			await.True(t, "the call has arrived", func() bool { return len(s.Calls()) == 1 })
			tt.end(s, stop)
			if tt.waits && len(received) != 1 {
				t.Error("Run ended before the call in flight, want it to wait")
			}
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
				if got := setStatus(t, s, ann); got != 0 || len(s.Calls()) != calls {
					t.Errorf("setstatus while away = %d, want no answer", got)
				}
				s.Away(false)
				s.Away(false)
				if got := setStatus(t, s, ann); got != tt.afterward {
					t.Errorf("setstatus afterwards = %d, want %d", got, tt.afterward)
				}
			}
		})
	}
}
