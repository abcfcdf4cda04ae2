// Package ownertest provides an owner of all partitions for tests: the registry of package
// mailbox on the real store, with an embedded Redis.
package ownertest

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// Lease is the owner's lease of every partition.
var Lease = store.Lease{Life: "me", Tenure: 1}

// Store is the real store with faults. One owner has all partitions.
type Store struct {
	*store.Store
	bubble bool // in a synctest bubble

	mu            sync.Mutex
	beforeSave    func(s store.Save) error // guarded by mu, like all fields below
	beforeRemoval func() error
	saves         []store.Save
}

// Open starts an embedded Redis for the test.
func Open(t *testing.T, cfg store.Config) (s *Store, url string) {
	t.Helper()
	url, stop, err := store.StartEmbedded()
	must.NoError(t, err)
	t.Cleanup(stop)
	cfg.URL = url
	return open(t, cfg), url
}

// InBubble runs a test in a synctest bubble. Redis runs outside, and the store receives no
// messages, because a goroutine that reads from the network would stop the fake clock.
func InBubble(t *testing.T, test func(t *testing.T, s *Store)) {
	t.Helper()
	url, stop, err := store.StartEmbedded()
	must.NoError(t, err)
	defer stop()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, store.Config{URL: url})
		s.bubble = true
		test(t, s)
	})
}

func open(t *testing.T, cfg store.Config) *Store {
	t.Helper()
	opened, err := store.Open(cfg)
	must.NoError(t, err)
	t.Cleanup(opened.Close)
	var swaps []store.Swap
	for p := range ooo.Partitions {
		swaps = append(swaps, store.Swap{Field: store.LeaseField(p), New: Lease.String()})
	}
	if ok, err := opened.SwapTable(t.Context(), swaps...); !ok || err != nil {
		t.Fatalf("SwapTable = %t, %v, want true", ok, err)
	}
	return &Store{Store: opened}
}

// Put stores a record, as a previous owner would have left it.
func (s *Store) Put(t *testing.T, m *ooo.Mailbox) {
	t.Helper()
	m.Version = 1
	must.NoError(t, s.Store.Save(t.Context(), store.Save{Lease: Lease, Record: m}))
}

// ChangeWish changes a wish by compare-and-swap, as the API does, and returns the hint that
// it left.
func (s *Store) ChangeWish(t *testing.T, address string, change func(w *ooo.Wish)) ooo.Hint {
	t.Helper()
	for {
		old, err := s.Store.Wish(t.Context(), address)
		must.NoError(t, err)
		next := old
		next.Address, next.Nonce, next.At = address, rand.Text(), time.Now()
		change(&next)
		if ok, err := s.SwapWish(t.Context(), old, next); err != nil {
			t.Fatal(err)
		} else if ok {
			return next.Hint(ooo.HintWish)
		}
	}
}

// Record returns the record of a mailbox in Redis, or nil.
func (s *Store) Record(t *testing.T, id ooo.RecordID) *ooo.Mailbox {
	t.Helper()
	m, err := s.LoadRecord(t.Context(), id)
	must.NoError(t, err)
	return m
}

// BeforeSaves sets a function that is called before each save, and whose error the save
// returns instead of writing. nil removes it.
func (s *Store) BeforeSaves(before func(s store.Save) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beforeSave = before
}

// BeforeRemovals is BeforeSaves for removals of hints.
func (s *Store) BeforeRemovals(before func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beforeRemoval = before
}

// Saves returns all successful saves.
func (s *Store) Saves() []store.Save {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.saves)
}

// Save saves a record, unless there is a fault.
func (s *Store) Save(ctx context.Context, save store.Save) error {
	s.mu.Lock()
	before := s.beforeSave
	s.mu.Unlock()
	if before != nil {
		if err := before(save); err != nil {
			return err
		}
	}
	err := s.Store.Save(ctx, save)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.saves = append(s.saves, save)
	}
	return err
}

// RemoveHints removes hints, unless there is a fault.
func (s *Store) RemoveHints(ctx context.Context, hints ...ooo.Hint) error {
	s.mu.Lock()
	before := s.beforeRemoval
	s.mu.Unlock()
	if before != nil {
		if err := before(); err != nil {
			return err
		}
	}
	return s.Store.RemoveHints(ctx, hints...)
}

// Listen receives messages. In a bubble it receives only the one of the connect.
func (s *Store) Listen(ctx context.Context, receive func(store.Message)) error {
	if !s.bubble {
		return s.Store.Listen(ctx, receive)
	}
	receive(store.Message{})
	<-ctx.Done()
	return nil
}
