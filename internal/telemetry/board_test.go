package telemetry_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/telemetry"
)

var board = telemetry.Board{Monitored: 3, Queues: []telemetry.QueueState{
	{Queue: "read", Depth: 3, Lag: 1500 * time.Millisecond},
	{Queue: "deliver", Depth: 0, Lag: -time.Second},
}}

// full returns a reader of that board.
func full(b telemetry.Board, err error) func(context.Context) (telemetry.Board, error) {
	return func(context.Context) (telemetry.Board, error) { return b, err }
}

func TestBoardIsAskedForAtEachScrape(t *testing.T) {
	m := telemetry.NewMetrics(build)
	asked := 0
	m.WatchBoard(func(ctx context.Context) (telemetry.Board, error) {
		asked++
		if until, ok := ctx.Deadline(); !ok || time.Until(until) > time.Second {
			t.Errorf("deadline = %v %t, want within a second", until, ok)
		}
		b := board
		b.Monitored = asked
		return b, nil
	})
	if asked != 0 {
		t.Errorf("asked %d times before the first scrape, want 0", asked)
	}
	scrape(t, m)
	got := scrape(t, m)
	tests := map[string]string{
		"outlook_monitor_board_up":                           "1",
		"outlook_monitor_monitored_users":                    "2",
		`outlook_monitor_queue_depth{queue="read"}`:          "3",
		`outlook_monitor_queue_depth{queue="deliver"}`:       "0",
		`outlook_monitor_queue_lag_seconds{queue="read"}`:    "1.5",
		`outlook_monitor_queue_lag_seconds{queue="deliver"}`: "0",
	}
	for name, want := range tests {
		if value := series(got, name); value != want {
			t.Errorf("%s = %q, want %q", name, value, want)
		}
	}
}

func TestWithoutAnAnswerTheBoardIsDownAndTellsNothingOld(t *testing.T) {
	m := telemetry.NewMetrics(build)
	var trouble error
	m.WatchBoard(func(context.Context) (telemetry.Board, error) { return board, trouble })
	scrape(t, m)
	trouble = errors.New("redis is away")
	down := scrape(t, m)
	if up := series(down, "outlook_monitor_board_up"); up != "0" {
		t.Errorf("board_up = %q, want 0", up)
	}
	for _, name := range []string{"outlook_monitor_monitored_users", "outlook_monitor_queue_depth", "outlook_monitor_queue_lag_seconds"} {
		if strings.Contains(down, name) {
			t.Errorf("%s is still told", name)
		}
	}
	if strings.Contains(down, "redis is away") {
		t.Error("the scrape repeats the error")
	}
	trouble = nil
	if up := series(scrape(t, m), "outlook_monitor_board_up"); up != "1" {
		t.Errorf("board_up = %q once it answers again, want 1", up)
	}
}

func TestABoardThatHangsHoldsUpNoOtherMetric(t *testing.T) {
	m := telemetry.NewMetrics(build)
	m.WatchBoard(func(ctx context.Context) (telemetry.Board, error) {
		<-ctx.Done()
		return telemetry.Board{}, ctx.Err()
	})
	m.Synced(nil)
	got := scrape(t, m)
	if up, syncs := series(got, "outlook_monitor_board_up"), series(got, `outlook_monitor_mediator_syncs_total{outcome="ok"}`); up != "0" || syncs != "1" {
		t.Errorf("board_up = %q, syncs = %q, want 0 and 1", up, syncs)
	}
}
