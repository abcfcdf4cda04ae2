package tunnel

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"time"

	"outlook-monitor/internal/schedule"
)

// Endpoint is an open way in: connections come out of it that were made to its
// URL. Closing it ends the session with ngrok.
type Endpoint interface {
	net.Listener
	URL() *url.URL
}

// NgrokConfig says what an [Ngrok] works with.
type NgrokConfig struct {
	// Open opens an endpoint that lives until it is closed or ctx ends; see
	// [Account.Open]. A [Refusal] says why it can't be had.
	Open func(ctx context.Context) (Endpoint, error)
	// Serve answers what comes out of the endpoint until ctx ends or the endpoint
	// fails.
	Serve func(ctx context.Context, ln net.Listener) error
	// Opened hears of the URL of each endpoint before it is served.
	Opened func(url string)
	Log    *slog.Logger
}

// Ngrok keeps an endpoint of ngrok's open.
type Ngrok struct{ cfg NgrokConfig }

// Waits between two tries to open an endpoint.
const (
	firstWait   = time.Second
	longestWait = time.Minute
)

// NewNgrok opens nothing: [Ngrok.Run] does.
func NewNgrok(cfg NgrokConfig) (*Ngrok, error) {
	if cfg.Open == nil || cfg.Serve == nil || cfg.Opened == nil {
		return nil, errors.New("tunnel: Open, Serve and Opened are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Ngrok{cfg}, nil
}

// Run keeps an endpoint open until ctx ends. It returns an error only if the
// first one is refused for good.
func (n *Ngrok) Run(ctx context.Context) error {
	opened, failures := false, 0
	for {
		endpoint, err := n.cfg.Open(ctx)
		if err == nil {
			opened, failures = true, 0
			err = n.serve(ctx, endpoint)
		}
		if ctx.Err() != nil {
			return nil
		}
		failures++
		wait := schedule.Doubling(failures, firstWait, longestWait)
		refusal, refused := errors.AsType[*Refusal](err)
		switch {
		case refused && refusal.ForGood() && !opened:
			return err
		case opened:
			n.cfg.Log.WarnContext(ctx, "the tunnel is closed, another will be opened", "wait", wait.String(), "err", err)
		default:
			n.cfg.Log.WarnContext(ctx, "there is no tunnel yet, will try on", "wait", wait.String(), "err", err)
		}
		if !schedule.Sleep(ctx, wait) {
			return nil
		}
	}
}

// serve has one endpoint answered until it is closed.
func (n *Ngrok) serve(ctx context.Context, endpoint Endpoint) error {
	defer endpoint.Close()
	if ctx.Err() != nil {
		return nil
	}
	public := endpoint.URL().String()
	n.cfg.Log.InfoContext(ctx, "the tunnel is open", "public_url", public)
	n.cfg.Opened(public)
	return n.cfg.Serve(ctx, endpoint)
}
