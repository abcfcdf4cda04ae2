package ownertest

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
)

// Owner is the registry of a replica that owns all partitions.
type Owner struct {
	*mailbox.Registry
	t    *testing.T
	ctx  context.Context // of the acquired partitions
	late atomic.Bool
}

// NewOwner returns an owner that acquires nothing before [Owner.Run]. Store is required in cfg;
// Interval and OnUnknownHint are optional, the other fields are ignored.
func NewOwner(t *testing.T, cfg mailbox.Config) *Owner {
	t.Helper()
	o := &Owner{t: t}
	cfg.MayStart = func(int) bool { return o.InTime() }
	cfg.OnPartition, cfg.OnTable = func(string) {}, func() {}
	if cfg.OnUnknownHint == nil {
		cfg.OnUnknownHint = func(ooo.HintKind) {}
	}
	cfg.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	if cfg.Interval == 0 {
		cfg.Interval = 2 * time.Second
	}
	o.Registry = mailbox.New(cfg)
	return o
}

// Run runs the registry with a worker, and acquires all partitions, until the test ends or
// calls stop.
func (o *Owner) Run(worker mailbox.Worker) (stop func()) {
	o.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(o.t.Context()))
	ended := await.Run(o.t, func(ctx context.Context) error { return o.Registry.Run(ctx, worker) })
	o.ctx = ctx
	o.AcquireAll()
	return func() { cancel(); ended() }
}

// AcquireAll acquires all partitions. It drops those acquired before.
func (o *Owner) AcquireAll() {
	for p := range ooo.Partitions {
		o.Drop(p)
		o.Acquire(o.ctx, p, Lease)()
	}
}

// SetLate sets whether the deadline of the ownership is over.
func (o *Owner) SetLate(late bool) { o.late.Store(late) }

// InTime reports whether the deadline is not over.
func (o *Owner) InTime() bool { return !o.late.Load() }

// Hint leaves a hint.
func (o *Owner) Hint(h ooo.Hint) {
	o.t.Helper()
	must.NoError(o.t, o.LeaveHints(o.t.Context(), h))
}
