package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/subscribe"
	"outlook-monitor/internal/webhook"
)

// cover keeps users subscribed to under the public address of the moment: a
// subscriber has one for life, so another one takes over when it changes, and
// patches what Graph has.
func (s *service) cover(ctx context.Context) error {
	for ctx.Err() == nil {
		public, moved := s.public.now()
		if err := s.coverUnder(ctx, public, moved); err != nil {
			return err
		}
	}
	return nil
}

// coverUnder returns once ctx ends or the address has moved. While a tunnel is
// not open yet it touches nothing: what is subscribed to may fit again.
func (s *service) coverUnder(ctx context.Context, public string, moved <-chan struct{}) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer stop()
		select {
		case <-ctx.Done():
		case <-moved:
		}
		return nil
	})
	if public != "" || s.tunnel == nil {
		subscriber, err := s.newSubscriber(public)
		if err != nil {
			stop()
			return errors.Join(err, g.Wait())
		}
		g.Go(func() error { return subscriber.Run(ctx) })
	}
	return g.Wait()
}

// newSubscriber returns one for a public address; an empty one: no subscriptions.
func (s *service) newSubscriber(public string) (*subscribe.Subscriber, error) {
	settings := s.cfg.settings
	want := subscribe.Settings{Resources: settings.Resources}
	if public != "" {
		base, err := config.NewURL(public).Parse()
		if err != nil {
			return nil, fmt.Errorf("PUBLIC_URL: %w", err)
		}
		want.NotificationURL = base.JoinPath(webhook.NotificationPath).String()
		want.LifecycleURL = base.JoinPath(webhook.LifecyclePath).String()
	} else {
		s.log.Warn("PUBLIC_URL is not set: no subscriptions, mailboxes are only polled", "interval", settings.PollInterval.String())
	}
	return subscribe.New(subscribe.Config{
		Queue: s.store, Store: covers{s.store}, Graph: s.graph, Settings: want, Lifetime: settings.Lifetime, Keys: s.states.keys,
		Certificate: s.certificate(), SweepEvery: settings.SweepInterval,
		Swept: func(f subscribe.Swept) {
			for kind, n := range map[string]int{"known": f.Known, "lost": f.Lost, "adopted": f.Adopted, "surplus": f.Surplus, "foreign": f.Foreign} {
				s.metrics.Swept(kind, n)
			}
		},
		Stepped: func(step subscribe.Step, err error) {
			s.metrics.Stepped(string(step.Action), string(step.Reason), err)
			switch {
			case errors.Is(err, ooo.ErrHandshake):
				s.handshakes.failed(ooo.ErrHandshake)
			case err == nil && (step.Action == subscribe.Create || step.Action == subscribe.Replace || step.Reason == subscribe.URLChanged):
				s.handshakes.worked()
			}
		},
		Log: s.log,
	})
}
