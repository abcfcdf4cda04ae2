package graphsim

import (
	"maps"
	"strconv"
	"time"
)

// Stats counts what has happened since the start or the last reset.
type Stats struct {
	// Calls counts calls by operation and status. Both a $batch and the requests
	// inside it count. Status 0 is a connection that was reset.
	Calls     map[string]map[string]int64 `json:"calls"`
	Throttled int64                       `json:"throttled"` // answered 429

	// MaxConcurrentPerMailbox is the most concurrent requests for one mailbox,
	// including rejected ones.
	MaxConcurrentPerMailbox int64 `json:"maxConcurrentPerMailbox"`

	// ReadGaps are the times between two successful reads of the same mailbox.
	ReadGaps Distribution `json:"readGaps"`

	Notifications NotificationStats `json:"notifications"`
}

// NotificationStats counts POSTs to notification URLs, and the items in them.
type NotificationStats struct {
	Items        int64 `json:"items"`        // created, before faults
	Sent         int64 `json:"sent"`         // POSTs, including retries
	Acknowledged int64 `json:"acknowledged"` // POSTs answered 2xx in time
	Failed       int64 `json:"failed"`       // all other POSTs
	Dropped      int64 `json:"dropped"`      // items
}

// Distribution summarizes times, in milliseconds.
type Distribution struct {
	Count int64 `json:"count"`
	P50   int64 `json:"p50"`
	P99   int64 `json:"p99"`
	Max   int64 `json:"max"`
}

// maxGap is the longest time between reads with its own count, in milliseconds.
const maxGap = 1 << 16

// statistics collects a Stats.
type statistics struct {
	Stats                         // without Throttled and the percentiles of ReadGaps
	gaps     [maxGap]int64        // by the millisecond
	lastRead map[string]time.Time // by user id
}

func newStatistics() *statistics {
	return &statistics{Stats: Stats{Calls: make(map[string]map[string]int64)}, lastRead: make(map[string]time.Time)}
}

// call counts a reply to a call.
func (s *statistics) call(op string, rep *reply) {
	if s.Calls[op] == nil {
		s.Calls[op] = make(map[string]int64)
	}
	s.Calls[op][strconv.Itoa(rep.status)]++
}

// read counts a successful read of a user's mailbox.
func (s *statistics) read(userID string, now time.Time) {
	if last, ok := s.lastRead[userID]; ok {
		gap := now.Sub(last).Milliseconds()
		s.gaps[min(max(gap, 0), maxGap-1)]++
		s.ReadGaps.Count++
		s.ReadGaps.Max = max(s.ReadGaps.Max, gap)
	}
	s.lastRead[userID] = now
}

// quantile returns a percentile of the gaps.
func (s *statistics) quantile(percent int64) int64 {
	need := (s.ReadGaps.Count*percent + 99) / 100
	var seen int64
	for ms := range s.gaps {
		if seen += s.gaps[ms]; seen >= need {
			return int64(ms)
		}
	}
	return maxGap
}

// Stats returns the counts since the start or the last reset.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats.Stats
	out.ReadGaps.P50, out.ReadGaps.P99 = s.stats.quantile(50), s.stats.quantile(99)
	out.Calls = make(map[string]map[string]int64)
	for op, statuses := range s.stats.Calls {
		out.Calls[op] = maps.Clone(statuses)
		out.Throttled += statuses["429"]
	}
	return out
}

// LastRead returns when the mailbox of a user was last read successfully; zero if never.
func (s *Server) LastRead(userID string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats.lastRead[userID]
}

// ResetStats resets all counts.
func (s *Server) ResetStats() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats = newStatistics()
}
