package redisstore_test

import (
	"fmt"
	"testing"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redisstore"
	"outlook-monitor/internal/redistest"
)

// BenchmarkFind looks for somebody among as many users as one app can read.
func BenchmarkFind(b *testing.B) {
	const users = 26_000
	s, err := redisstore.Open(redisstore.Config{URL: redistest.Start(b).URL()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if err := s.Ready(b.Context()); err != nil {
		b.Fatal(err)
	}
	addresses := make([]string, users)
	for i := range addresses {
		addresses[i] = fmt.Sprintf("user%05d@contoso.example", i)
	}
	if err := s.StartAll(b.Context(), addresses); err != nil {
		b.Fatal(err)
	}
	queries := map[string]ooo.Query{
		"everyone counted":           {Resources: []string{calendar}},
		"a search that few fit":      {Text: "r0012", Limit: 50, Resources: []string{calendar}},
		"a filter that everyone fit": {Filter: ooo.FilterPending, Limit: 50, Resources: []string{calendar}},
	}
	for name, q := range queries {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				page, err := s.Find(b.Context(), q)
				if err != nil || page.Total == 0 {
					b.Fatalf("Find = %d users, %v, want some", page.Total, err)
				}
			}
		})
	}
	b.Run("a page of everyone", func(b *testing.B) {
		for b.Loop() {
			if page, _, err := s.Users(b.Context(), 50, ""); err != nil || len(page) != 50 {
				b.Fatalf("Users = %d, %v, want 50", len(page), err)
			}
		}
	})
}
