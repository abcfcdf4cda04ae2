package redistest_test

import (
	"fmt"
	"strings"
	"testing"

	"outlook-monitor/internal/redistest"
)

func TestAFullDisk(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "appendfsync everysec")
	client := dial(t, s.URL(), nil)
	set(t, client, "k", "before")
	s.Fill()
	eventually(t, "writes are refused", func() error {
		err := client.Set(t.Context(), "k", "meanwhile", 0).Err()
		if err == nil || !strings.Contains(err.Error(), "MISCONF") {
			return fmt.Errorf("SET = %v, want MISCONF", err)
		}
		return nil
	})
	s.Empty()
	eventually(t, "writes are taken again", func() error { return client.Set(t.Context(), "k", "after", 0).Err() })
	s.Restart()
	if err := is(t, client, "k", "after"); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}
