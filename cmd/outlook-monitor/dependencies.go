package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/config"
	"outlook-monitor/internal/deliver"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/store"
)

// dependencies are what /readyz reports on.
type dependencies struct {
	store    *store.Store
	embedded bool         // store is inside this process
	ready    *atomic.Bool // the schema of store is ours
	graph    *graph.Client
	mediator *deliver.Mediator
	public   *publicURL
	seen     *observer

	loggedIn atomic.Bool // a login worked once
}

// checks returns a check for each. The mediator may be away for hours without harm, and
// Graph too once a login has worked: then the service still takes requests and
// notifications, and must be reached.
func (d *dependencies) checks() []api.Check {
	return []api.Check{
		{Name: "redis", Required: true, Probe: d.redis},
		{Name: "graph", Required: true, Excused: d.loggedIn.Load, Probe: func(ctx context.Context) (string, error) {
			if err := d.graph.Token(ctx); err != nil {
				return "", err
			}
			d.loggedIn.Store(true)
			return "", d.seen.graphCalls.problem()
		}},
		{Name: "mediator", Probe: func(ctx context.Context) (string, error) { return "", d.mediator.Reach(ctx) }},
		{Name: "public_url", Probe: d.publicURL},
	}
}

// findingsTime bounds the inspection of Redis for /readyz, where it only adds details.
const findingsTime = 500 * time.Millisecond

func (d *dependencies) redis(ctx context.Context) (string, error) {
	err := d.store.Ping(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return "", errors.New("Redis does not answer")
	}
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, findingsTime)
	defer cancel()
	report, err := d.store.Inspect(ctx)
	refused := d.store.Check(ctx)
	switch {
	case errors.Is(err, store.ErrReplica) || errors.Is(err, store.ErrTooOld):
		return "", err
	case errors.Is(refused, store.ErrRefused):
		return "", refused
	case !d.ready.Load():
		return "", errors.New("its schema is not checked yet")
	case d.embedded:
		return "inside this process: state is gone at exit", nil
	}
	var details []string
	for _, f := range report.Findings {
		details = append(details, f.String())
	}
	if errors.Is(refused, store.ErrNoMessages) {
		details = append(details, refused.Error())
	}
	return strings.Join(details, "; "), nil
}

// publicURL says at which address Graph reaches the service, and whether it could lately.
func (d *dependencies) publicURL(context.Context) (string, error) {
	url, _ := d.public.get()
	switch {
	case url == "" && d.public.tunnel:
		return "", errors.New("the tunnel is not open yet: the log says why")
	case url == "":
		return "not set: no subscriptions, mailboxes are only polled", nil
	}
	return config.NewURL(url).String(), d.seen.handshakes.problem()
}

// inspect logs at the start by what Redis may lose users, and what it refuses. The error
// is [store.ErrTooOld], which nobody can work with; whatever else it finds may be fixed
// while the service runs.
func inspect(ctx context.Context, s *store.Store, log *slog.Logger) error {
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	report, err := s.Inspect(asking)
	for _, f := range report.Findings {
		log.WarnContext(ctx, "Redis may lose users", "problem", f.Problem, "remedy", f.Remedy, "servers", f.Servers)
	}
	switch {
	case errors.Is(err, store.ErrTooOld):
		return err
	case err != nil && ctx.Err() == nil:
		log.WarnContext(ctx, "redis not inspected", "err", err)
	}
	if err := s.Check(asking); err != nil && ctx.Err() == nil {
		log.WarnContext(ctx, "redis refused a command", "err", err)
	}
	return nil
}
