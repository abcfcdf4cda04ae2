package redisstore_test

import (
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redisstore"
	"outlook-monitor/internal/redistest"
)

// TestABeatIsOneCommand counts what it costs that replicas know of each other.
func TestABeatIsOneCommand(t *testing.T) {
	var commands atomic.Int64
	s, err := redisstore.Open(redisstore.Config{
		URL:     redistest.Start(t).URL(),
		Observe: func(string, time.Duration, error) { commands.Add(1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 { // the first also brings the script
		commands.Store(0)
		if err := s.Beat(t.Context(), ooo.Replica{ID: "one"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := commands.Load(); got != 1 {
		t.Errorf("commands = %d, want 1", got)
	}
}
