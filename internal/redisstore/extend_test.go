package redisstore_test

import (
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redistest"
)

func TestTheClaimThatIsLostIsNamed(t *testing.T) {
	s := open(t, redistest.Start(t).URL())
	key := s.start("ann")
	dead := s.claim(ooo.ReadQueue, key, 20*time.Millisecond)
	alive := s.claim(ooo.ReadQueue, key, long)
	for _, claims := range [][]ooo.Claim{{dead, alive}, {alive, dead}} {
		lost, err := s.Extend(t.Context(), ooo.ReadQueue, claims, long)
		if err != nil || len(lost) != 1 || lost[0].Token != dead.Token {
			t.Errorf("Extend = %+v, %v, want the first claim lost alone", lost, err)
		}
	}
}
