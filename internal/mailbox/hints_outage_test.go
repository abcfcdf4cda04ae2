package mailbox_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/ownertest"
	"outlook-monitor/internal/store"
)

// hintless is a store without records whose hints can't be read.
type hintless struct {
	mailbox.Store
	reads atomic.Int64 // of the hints
}

func (h *hintless) Load(context.Context, int) (store.Loaded, error) { return store.Loaded{}, nil }

func (h *hintless) PutReads(context.Context, map[int]store.Reads) error { return nil }

func (h *hintless) Hints(context.Context) ([]ooo.Hint, error) {
	h.reads.Add(1)
	return nil, errors.New("redis unreachable")
}

// Listen says once a second that it has connected again.
func (h *hintless) Listen(ctx context.Context, receive func(store.Message)) error {
	for range 60 {
		receive(store.Message{})
		time.Sleep(time.Second)
	}
	<-ctx.Done()
	return nil
}

// Failures must not add up: each request and each regular read that fails is retried by the
// same next read.
func TestUnreadableHintsAreReadOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		redis := &hintless{}
		owner := ownertest.NewOwner(t, mailbox.Config{Store: redis})
		stop := await.Run(t, func(ctx context.Context) error { return owner.Registry.Run(ctx) })
		go owner.Acquire(t.Context(), 0, ownertest.Lease)()
		time.Sleep(10 * time.Minute)
		if n := redis.reads.Load(); n < 590 || n > 670 {
			t.Errorf("hints read %d times in ten minutes, want once a second and for each of 60 requests", n)
		}
		stop()
	})
}
