package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"outlook-monitor/internal/store"
)

const (
	// inspectTime bounds the look at how Redis is set up, at the start.
	inspectTime = 5 * time.Second
	// glanceTime bounds the same for /readyz, where it only adds to what is told.
	glanceTime = 500 * time.Millisecond
)

// inspect logs what may lose the users in Redis, and what it refuses. The error is
// [store.ErrTooOld], which nobody can work with; whatever else is found may be fixed
// while the service runs.
func (s *service) inspect(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, inspectTime)
	defer cancel()
	report, err := s.store.Inspect(asking)
	for _, f := range report.Findings {
		s.log.WarnContext(ctx, "Redis may lose users", "problem", f.Problem, "remedy", f.Remedy, "servers", f.Servers)
	}
	switch {
	case errors.Is(err, store.ErrTooOld):
		return err
	case err != nil && ctx.Err() == nil:
		s.log.WarnContext(ctx, "redis not inspected", "err", err)
	}
	if err := s.store.Check(asking); err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "redis refuses something", "err", err)
	}
	return nil
}

// probeRedis is the check that /readyz makes of Redis.
func (s *service) probeRedis(ctx context.Context) (string, error) {
	err := s.store.Ping(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return "", errors.New("Redis does not answer")
	}
	if err != nil {
		return "", err
	}
	asking, cancel := context.WithTimeout(ctx, glanceTime)
	defer cancel()
	report, err := s.store.Inspect(asking)
	refused := s.store.Check(asking)
	switch {
	case errors.Is(err, store.ErrReplica) || errors.Is(err, store.ErrTooOld):
		return "", err
	case errors.Is(refused, store.ErrRefused):
		return "", refused
	case !s.ready.Load():
		return "", errors.New("its schema is not checked yet")
	case s.embedded != nil:
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
