package redisstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redisstore"
	"outlook-monitor/internal/redistest"
)

// BenchmarkQueue measures what Redis takes for users that are claimed, read
// without news and given back, and for users that are announced, at several
// numbers at once. Redis writes to disk every time.
func BenchmarkQueue(b *testing.B) {
	s, err := redisstore.Open(redisstore.Config{URL: redistest.Start(b).URL()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	ctx := context.Background()
	if err := s.Ready(ctx); err != nil {
		b.Fatal(err)
	}
	var addresses []string
	for i := range 5000 {
		addresses = append(addresses, fmt.Sprintf("user%d@contoso.example", i))
	}
	if err := s.StartAll(ctx, addresses); err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{20, 500} {
		b.Run(fmt.Sprintf("claim and done/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			users := 0
			for b.Loop() {
				batch, err := s.Claim(ctx, ooo.ReadQueue, n, 10*time.Second)
				if err != nil {
					b.Fatal(err)
				}
				finished := make([]ooo.Finished, len(batch.Claims))
				for i, c := range batch.Claims {
					finished[i] = ooo.Finished{Claim: c, Next: batch.Now, Read: true} // due again at once
				}
				if err := s.Done(ctx, ooo.ReadQueue, finished); err != nil {
					b.Fatal(err)
				}
				users += len(finished)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(max(users, 1)), "µs/user")
		})
	}
	for _, n := range []int{1, 20, 100} {
		marks := make([]ooo.Mark, n)
		for i := range marks {
			marks[i] = ooo.Mark{Key: ooo.KeyOf(addresses[i*41]), Source: ooo.SourceNotification, Urgent: true}
		}
		b.Run(fmt.Sprintf("mark/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if known, err := s.Mark(ctx, ooo.ReadQueue, marks...); err != nil || known != n {
					b.Fatalf("Mark = %d, %v, want %d", known, err, n)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/user")
		})
	}
}
