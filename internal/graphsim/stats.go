package graphsim

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Stats is what has happened since the start or the last reset.
type Stats struct {
	// Calls counts by operation and status; requests inside a $batch count as
	// what they are, and the $batch as one of its own. Status 0 is a connection
	// that was cut.
	Calls     map[string]map[string]int64 `json:"calls"`
	Throttled int64                       `json:"throttled"` // answered 429

	// MaxConcurrentPerMailbox is the most requests seen at once for one mailbox,
	// refused ones included.
	MaxConcurrentPerMailbox int64 `json:"maxConcurrentPerMailbox"`

	// ReadGaps are the times between two answered reads of the same mailbox.
	ReadGaps Distribution `json:"readGaps"`

	Notifications NotificationStats `json:"notifications"`
	// NotificationAnswers are the times that answers to notifications took.
	NotificationAnswers Distribution `json:"notificationAnswers"`
}

// NotificationStats counts POSTs to notification URLs, and the items in them.
type NotificationStats struct {
	Items        int64 `json:"items"`        // made, before faults
	Sent         int64 `json:"sent"`         // POSTs, repeated ones included
	Acknowledged int64 `json:"acknowledged"` // answered 2xx in time
	Failed       int64 `json:"failed"`       // not so
	Dropped      int64 `json:"dropped"`      // items given up
}

// Distribution sums up times, in milliseconds.
type Distribution struct {
	Count int64 `json:"count"`
	P50   int64 `json:"p50"`
	P99   int64 `json:"p99"`
	Max   int64 `json:"max"`
}

// histogramLimit is the longest time told apart, in milliseconds.
const histogramLimit = 1 << 16

// histogram counts times by the millisecond.
type histogram struct {
	counts [histogramLimit]atomic.Int64
	max    atomic.Int64
}

func (h *histogram) add(d time.Duration) {
	ms := max(d.Milliseconds(), 0)
	h.counts[min(ms, histogramLimit-1)].Add(1)
	raise(&h.max, ms)
}

func raise(to *atomic.Int64, v int64) {
	for {
		old := to.Load()
		if v <= old || to.CompareAndSwap(old, v) {
			return
		}
	}
}

func (h *histogram) reset() {
	for i := range h.counts {
		h.counts[i].Store(0)
	}
	h.max.Store(0)
}

func (h *histogram) sum() Distribution {
	d := Distribution{Max: h.max.Load()}
	for i := range h.counts {
		d.Count += h.counts[i].Load()
	}
	d.P50, d.P99 = h.quantile(d.Count, 50), h.quantile(d.Count, 99)
	return d
}

// quantile is the time that percent of the count times don't exceed.
func (h *histogram) quantile(count, percent int64) int64 {
	need := (count*percent + 99) / 100
	if need == 0 {
		return 0
	}
	var seen int64
	for ms := range h.counts {
		if seen += h.counts[ms].Load(); seen >= need {
			return int64(ms)
		}
	}
	return histogramLimit
}

// statBoard counts without locks: everything passes by here.
type statBoard struct {
	calls         [operations][600]atomic.Int64
	maxConcurrent atomic.Int64
	gaps          histogram
	answers       histogram

	items, sent, acknowledged, failed, dropped atomic.Int64
}

func newStatBoard() *statBoard { return &statBoard{} }

func (b *statBoard) call(op operation, rep reply) {
	status := rep.status
	if rep.reset || status < 0 || status >= 600 {
		status = 0
	}
	b.calls[op][status].Add(1)
}

func (b *statBoard) concurrent(n int) { raise(&b.maxConcurrent, int64(n)) }

// gap notes the time since the read before; 0 stands for the first one.
func (b *statBoard) gap(d time.Duration) {
	if d > 0 {
		b.gaps.add(d)
	}
}

// watch returns a writer that counts the status that is written to it.
func (b *statBoard) watch(w http.ResponseWriter, op operation) http.ResponseWriter {
	return &watchedWriter{w, b, op}
}

type watchedWriter struct {
	http.ResponseWriter
	stats *statBoard
	op    operation
}

func (w *watchedWriter) WriteHeader(status int) {
	w.stats.call(w.op, reply{status: status})
	w.ResponseWriter.WriteHeader(status)
}

// Stats returns what has happened since the start or the last reset.
func (s *Server) Stats() Stats {
	b := s.stats
	out := Stats{
		Calls:                   make(map[string]map[string]int64),
		MaxConcurrentPerMailbox: b.maxConcurrent.Load(),
		ReadGaps:                b.gaps.sum(),
		NotificationAnswers:     b.answers.sum(),
		Notifications: NotificationStats{
			Items: b.items.Load(), Sent: b.sent.Load(), Acknowledged: b.acknowledged.Load(),
			Failed: b.failed.Load(), Dropped: b.dropped.Load(),
		},
	}
	for op := range b.calls {
		for status := range b.calls[op] {
			n := b.calls[op][status].Load()
			if n == 0 {
				continue
			}
			name := operation(op).String()
			if out.Calls[name] == nil {
				out.Calls[name] = make(map[string]int64)
			}
			out.Calls[name][strconv.Itoa(status)] = n
		}
		out.Throttled += b.calls[op][http.StatusTooManyRequests].Load()
	}
	return out
}

// ResetStats starts counting anew.
func (s *Server) ResetStats() {
	b := s.stats
	for op := range b.calls {
		for status := range b.calls[op] {
			b.calls[op][status].Store(0)
		}
	}
	for _, n := range []*atomic.Int64{&b.maxConcurrent, &b.items, &b.sent, &b.acknowledged, &b.failed, &b.dropped} {
		n.Store(0)
	}
	b.gaps.reset()
	b.answers.reset()
	for _, a := range s.directory.list() {
		a.mailbox.forgetReads()
	}
}
