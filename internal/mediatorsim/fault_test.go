package mediatorsim_test

import (
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/mediatorsim"
	"outlook-monitor/internal/must"
)

func TestCallInFlightIsCut(t *testing.T) {
	for name, tt := range map[string]struct {
		end       func(s *mediatorsim.Server, stop func())
		waits     bool // for the call
		afterward int  // status once it listens again
	}{
		"down":    {func(s *mediatorsim.Server, _ func()) { s.SetDown(true) }, false, 200},
		"stopped": {func(_ *mediatorsim.Server, stop func()) { stop() }, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			received := make(chan mediatorsim.Call, 10)
			s, err := mediatorsim.New(mediatorsim.Config{Received: func(c mediatorsim.Call) { received <- c }})
			must.NoError(t, err)
			stop := await.Run(t, s.Run)
			s.Add(ann)
			s.Answer(func(mediatorsim.Call) mediatorsim.Reaction { return mediatorsim.Reaction{Delay: time.Hour} })
			var inFlight sync.WaitGroup
			inFlight.Go(func() { wantSetStatus(t, s, ann, 0) })
			await.True(t, "the call has arrived", func() bool { return len(s.Calls()) == 1 })
			tt.end(s, stop)
			if tt.waits && len(received) != 1 {
				t.Error("Run ended before the call in flight, want it to wait")
			}
			inFlight.Wait()
			call := <-received
			if _, ok := s.State(ann); ok || call.Answered != 0 {
				t.Errorf("Received = %+v, State exists = %t, want no acknowledgement", call, ok)
			}
			s.Answer(nil)
			for range 3 {
				s.SetDown(true)
				calls := len(s.Calls())
				wantSetStatus(t, s, ann, 0)
				if got := len(s.Calls()); got != calls {
					t.Errorf("%d calls while away, want none", got-calls)
				}
				s.SetDown(false)
				s.SetDown(false)
				wantSetStatus(t, s, ann, tt.afterward)
			}
		})
	}
}
