package redisstore_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redisstore"
	"outlook-monitor/internal/redistest"
)

func TestMarksThatComeTogetherReachRedisTogether(t *testing.T) {
	const callers = 100
	var commands atomic.Int64
	opened, err := redisstore.Open(redisstore.Config{
		URL: redistest.Start(t).URL(), Observe: func(string, time.Duration, error) { commands.Add(1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	s := store{Store: opened, t: t}
	s.must(s.Ready(t.Context()))
	everyones := s.start("everyones")
	var own []ooo.Key
	for i := range callers {
		own = append(own, s.start(fmt.Sprintf("user%d", i)))
	}
	if _, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: everyones}); err != nil { // Redis learns the script
		t.Fatal(err)
	}
	var finished []ooo.Finished
	for _, c := range s.claims(ooo.ReadQueue, long) {
		finished = append(finished, ooo.Finished{Claim: c, Next: s.now().Add(time.Hour)})
	}
	s.must(s.Done(t.Context(), ooo.ReadQueue, finished))

	free := s.Hinder(ooo.ReadQueue)
	var calling sync.WaitGroup
	for i := range callers {
		calling.Go(func() {
			known, err := s.Mark(t.Context(), ooo.ReadQueue,
				ooo.Mark{Key: everyones, Source: ooo.SourceNotification, ID: "shared", Urgent: true},
				ooo.Mark{Key: own[i], Source: ooo.SourceNotification, ID: fmt.Sprint(i), Urgent: true},
				ooo.Mark{Key: ooo.KeyOf(fmt.Sprintf("stranger%d@contoso.example", i))})
			if known != 2 || err != nil {
				t.Errorf("Mark = %d, %v, want 2 known", known, err)
			}
		})
	}
	s.eventually("all marks are gathered", func() bool { return s.Gathered(ooo.ReadQueue) == 2*callers+1 })
	before := commands.Load()
	free()
	calling.Wait()
	if n := commands.Load() - before; n != 1 {
		t.Errorf("commands = %d for %d callers, want one", n, callers)
	}
	ids := map[string]bool{}
	for _, c := range s.claims(ooo.ReadQueue, long) {
		if c.Source != ooo.SourceNotification {
			t.Errorf("claim = %+v, want the notification's", c)
		}
		ids[c.SourceID] = true
	}
	if len(ids) != callers+1 {
		t.Errorf("%d users are due by a notification of their own, want %d", len(ids), callers+1)
	}
}
