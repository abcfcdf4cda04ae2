package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/deliver"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/store"
)

// dependencies are what /readyz checks.
type dependencies struct {
	store    *store.Store
	embedded bool         // Redis is inside this process
	ready    *atomic.Bool // see service
	graph    *graph.Client
	mediator *deliver.Mediator
	public   *publicURL
	seen     *observer
}

// checks returns the checks of /readyz. The mediator may be unreachable without making the
// service unready, and so may Graph once a login has succeeded: the service still accepts
// requests and notifications.
func (d *dependencies) checks() []api.Check {
	return []api.Check{
		{Name: "redis", Required: true, Probe: d.redis},
		{Name: "graph", Required: true, Excused: d.loggedIn, Probe: func(ctx context.Context) (string, error) {
			return "", cmp.Or(d.graph.Token(ctx), d.seen.graphCalls.problem())
		}},
		{Name: "mediator", Probe: func(ctx context.Context) (string, error) { return "", d.mediator.Reach(ctx) }},
		{Name: "public_url", Probe: d.publicURL},
	}
}

// loggedIn reports whether a login has succeeded: an expired token is kept.
func (d *dependencies) loggedIn() bool { return !d.graph.TokenExpires().IsZero() }

// inspectTimeout bounds the inspection of Redis for /readyz, where it only adds details.
const inspectTimeout = 500 * time.Millisecond

func (d *dependencies) redis(ctx context.Context) (string, error) {
	err := d.store.Ping(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return "", errors.New("Redis does not answer")
	}
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	report, err := d.store.Inspect(ctx)
	refused := d.store.Check(ctx)
	switch {
	case errors.Is(err, store.ErrReplica) || errors.Is(err, store.ErrTooOld):
		return "", err
	case errors.Is(refused, store.ErrRefused):
		return "", refused
	case !d.ready.Load():
		return "", errors.New("its schema has not been checked yet")
	case d.embedded:
		return "inside this process: state is lost at exit", nil
	}
	var details []string
	for _, f := range report.Findings {
		details = append(details, f.Problem+": "+f.Remedy)
	}
	if errors.Is(refused, store.ErrNoMessages) {
		details = append(details, refused.Error())
	}
	return strings.Join(details, "; "), nil
}

// publicURL returns the address for Graph, and an error if its last handshake there failed.
func (d *dependencies) publicURL(context.Context) (string, error) {
	switch url := d.public.current.Load(); {
	case d.public.tunnel && !d.public.open.Load():
		return "", errors.New("the tunnel is not open: the log says why")
	case url != nil:
		return url.String(), d.seen.handshakes.problem()
	}
	return "not set: no subscriptions, mailboxes are only polled", nil
}

// inspect logs how Redis may lose users, and commands that it refuses. It returns only
// [store.ErrTooOld]; everything else can be fixed while the service runs.
func inspect(ctx context.Context, s *store.Store, log *slog.Logger) error {
	callCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	report, err := s.Inspect(callCtx)
	for _, f := range report.Findings {
		log.WarnContext(ctx, "Redis may lose users", "problem", f.Problem, "remedy", f.Remedy)
	}
	switch {
	case errors.Is(err, store.ErrTooOld):
		return err
	case err != nil && ctx.Err() == nil:
		log.WarnContext(ctx, "redis not inspected", "err", err)
	}
	if err := s.Check(callCtx); err != nil && ctx.Err() == nil {
		log.WarnContext(ctx, "redis refused a command", "err", err)
	}
	return nil
}
