package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"time"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/store"
)

// checks returns the checks of /readyz. The mediator may be unreachable without making the
// service unready, and so may Graph once a login has succeeded: the service still accepts
// requests and notifications.
func (s *service) checks() []api.Check {
	loggedIn := func() bool { return !s.graph.TokenExpires().IsZero() } // ever: an expired token is kept
	return []api.Check{
		{Name: "redis", Required: true, Probe: s.checkRedis},
		{Name: "graph", Required: true, Excused: loggedIn, Probe: func(ctx context.Context) (string, error) {
			return "", cmp.Or(s.graph.Token(ctx), s.seen.graphCalls.get())
		}},
		{Name: "mediator", Probe: func(ctx context.Context) (string, error) { return "", s.mediator.Reach(ctx) }},
		{Name: "public_url", Probe: s.checkPublicURL},
	}
}

// inspectTimeout bounds the inspection of Redis for /readyz, where it only adds details.
const inspectTimeout = 500 * time.Millisecond

func (s *service) checkRedis(ctx context.Context) (string, error) {
	err := s.store.Ping(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return "", errors.New("Redis does not answer")
	}
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	report, err := s.store.Inspect(ctx)
	refused, failure := s.store.Check(ctx), s.owners.Failure()
	switch {
	case errors.Is(err, store.ErrReplica) || errors.Is(err, store.ErrTooOld):
		return "", err
	case errors.Is(refused, store.ErrRefused):
		return "", refused
	case failure != nil && !isTimeout(failure): // Ping may reach another server of a Cluster, and a full Redis answers it
		return "", failure
	case !s.ready.Load():
		return "", errors.New("its schema has not been checked yet")
	case s.settings.RedisURL.IsZero():
		return "inside this process: state is lost at exit", nil
	}
	var details []string
	for _, f := range report.Findings {
		details = append(details, f.Problem+": "+f.Remedy)
	}
	if errors.Is(refused, store.ErrNoMessages) {
		details = append(details, refused.Error())
	}
	if failure != nil {
		details = append(details, "it answers too slowly to confirm the ownership of mailboxes, so none is read: see OutlookMonitorRedisSlow in RUNBOOK.md")
	}
	return strings.Join(details, "; "), nil
}

// isTimeout reports whether a call of Redis was not answered in time.
func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout()
}

// checkPublicURL returns the address for Graph, and an error if its last handshake there failed.
func (s *service) checkPublicURL(context.Context) (string, error) {
	switch url := s.public.current.Load(); {
	case s.public.tunnel && !s.public.open.Load():
		return "", errors.New("the tunnel is not open: the log says why")
	case url != nil:
		return url.String(), s.seen.handshakes.get()
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
