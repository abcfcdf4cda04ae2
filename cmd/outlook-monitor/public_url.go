package main

import (
	"context"
	"errors"
	"fmt"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/subscribe"
	"outlook-monitor/internal/webhook"
)

// followPublicURL has the subscriptions follow the public address of the moment until
// ctx ends. While a tunnel is not open yet nothing is touched: what is subscribed to
// may fit again.
func (s *service) followPublicURL(ctx context.Context) error {
	for {
		public, moved := s.public.now()
		if public != "" || s.tunnel == nil {
			want, err := s.subscriptionURLs(public)
			if err != nil {
				return err
			}
			s.subscriber.SetURLs(want)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-moved:
		}
	}
}

// subscriptionURLs returns where Graph sends notifications under a public address; of
// an empty one, that there are no subscriptions.
func (s *service) subscriptionURLs(public string) (urls subscribe.URLs, err error) {
	if public == "" {
		s.log.Warn("PUBLIC_URL is not set: no subscriptions, mailboxes are only polled", "interval", s.cfg.settings.PollInterval.String())
		return urls, nil
	}
	base, err := config.NewURL(public).Parse()
	if err != nil {
		return urls, fmt.Errorf("PUBLIC_URL: %w", err)
	}
	urls.Notification = base.JoinPath(webhook.NotificationPath).String()
	urls.Lifecycle = base.JoinPath(webhook.LifecyclePath).String()
	return urls, nil
}

// stepped hears of each step of a subscription.
func (s *service) stepped(step subscribe.Step, err error) {
	s.metrics.Stepped(string(step.Action), string(step.Reason), err)
	switch {
	case errors.Is(err, ooo.ErrHandshake):
		s.handshakes.failed(ooo.ErrHandshake)
	case err == nil && (step.Action == subscribe.Create || step.Action == subscribe.Replace || step.Reason == subscribe.URLChanged):
		s.handshakes.worked()
	}
}

func (s *service) swept(f subscribe.Swept) {
	for kind, n := range map[string]int{"known": f.Known, "lost": f.Lost, "adopted": f.Adopted, "surplus": f.Surplus, "foreign": f.Foreign} {
		s.metrics.Swept(kind, n)
	}
}
