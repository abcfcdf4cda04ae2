package watch

import (
	"testing"
	"time"
)

func TestTurnsComeAsFastAsTheDesksWork(t *testing.T) {
	l := line{desks: 4}
	for range 100 {
		l.served(200 * time.Millisecond)
	}
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	last := now
	told, untold := 0, 0
	for range 1000 {
		turn := l.place(now)
		if wait := turn.Sub(now); wait < 150*time.Millisecond || wait > mostLine {
			t.Fatalf("a turn after %v, want it after one look-up and within %v", wait, mostLine)
		}
		if gap := turn.Sub(last); untold == 0 && gap > 0 && gap < 300*time.Millisecond {
			told, last = told+1, turn
		} else {
			untold++
		}
	}
	if told < 550 || told > 620 {
		t.Errorf("%d turns told for the next 30 s, want about 600: 4 desks at 200 ms", told)
	}
	later := now.Add(time.Hour)
	if turn := l.place(later); turn.Sub(later) > 300*time.Millisecond {
		t.Errorf("a turn after %v in an empty line, want it soon", turn.Sub(later))
	}
}
