package schedule_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/schedule"
)

func TestDoublingAndBackoff(t *testing.T) {
	for failures, want := range map[int]time.Duration{-1: 1, 0: 1, 1: 1, 2: 2, 5: 16, 6: 20, 31: 20, 1 << 40: 20} {
		if got := schedule.Doubling(failures, time.Second, 20*time.Second); got != want*time.Second {
			t.Errorf("Doubling(%d) = %v, want %v", failures, got, want*time.Second)
		}
		for range 50 {
			if got := schedule.Backoff(failures, time.Second, 20*time.Second); got > want*time.Second || got < want*time.Second*4/5 {
				t.Fatalf("Backoff(%d) = %v, want %v less at most a fifth", failures, got, want*time.Second)
			}
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"7":     7 * time.Second,
		" 1.5 ": 1500 * time.Millisecond,
		"0":     time.Second,
		"86400": time.Hour,
		"inf":   time.Hour,
		"nan":   0,
		"":      0,

		strings.Repeat("9", 400):                      time.Hour,
		now.Add(time.Minute).Format(http.TimeFormat):  time.Minute,
		now.Add(-time.Minute).Format(http.TimeFormat): time.Second,
		now.AddDate(1, 0, 0).Format(http.TimeFormat):  time.Hour,
		"Sunday, 01-Nov-26 12:02:00 GMT":              2 * time.Minute,
	} {
		if got := schedule.RetryAfter(header, now, time.Second, time.Hour); got != want {
			t.Errorf("RetryAfter(%q) = %v, want %v", header, got, want)
		}
	}
}

func TestRetryAndSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, last := time.Now(), 0
		if !schedule.Retry(t.Context(), time.Second, 2*time.Second, func(attempt int) error {
			if last = attempt; attempt < 4 {
				return errors.New("failed")
			}
			return nil
		}) {
			t.Error("Retry = false, want true")
		}
		if took := time.Since(began); last != 4 || took < 4*time.Second || took > 5*time.Second {
			t.Errorf("%d attempts in %v, want 4 in 4 to 5 s", last, took)
		}
		began = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if schedule.Retry(ctx, time.Hour, time.Hour, func(int) error { return errors.New("failed") }) || time.Since(began) != time.Second {
			t.Errorf("Retry ended after %v, want false after 1s", time.Since(began))
		}
		for range 20 {
			if schedule.Sleep(ctx, 0) {
				t.Error("Sleep with an expired context = true, want false")
			}
		}
	})
}
