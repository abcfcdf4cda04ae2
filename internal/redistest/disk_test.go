package redistest_test

import (
	"fmt"
	"strings"
	"testing"

	"outlook-monitor/internal/redistest"
)

func TestFullDisk(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "appendfsync everysec")
	client := dial(t, s.URL())
	s.FillDisk()
	eventually(t, "writes are refused", func() error {
		err := client.Set(t.Context(), "k", "refused", 0).Err()
		if err == nil || !strings.Contains(err.Error(), "MISCONF") {
			return fmt.Errorf("SET = %v, want MISCONF", err)
		}
		return nil
	})
	s.FreeDisk()
	eventually(t, "writes succeed again", func() error { return client.Set(t.Context(), "k", "after", 0).Err() })
	s.Restart()
	if got, err := client.Get(t.Context(), "k").Result(); got != "after" || err != nil {
		t.Errorf("after a restart = %q, %v, want after", got, err)
	}
}
