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

// Endpoint accepts the connections to its URL. Close only stops that: requests in flight need
// the session until End.
type Endpoint interface {
	net.Listener
	URL() *url.URL
	End()
}

// Ngrok keeps an endpoint open at ngrok.
type Ngrok struct {
	// Open opens an endpoint that lasts until End, or gives up when ctx ends; see
	// [Account.Open]. It returns a [Refusal] if ngrok refuses.
	Open func(ctx context.Context) (Endpoint, error)
	// Serve serves the endpoint until ctx ends or the endpoint fails.
	Serve func(ctx context.Context, ln net.Listener) error
	// OnChange receives the URL of each endpoint before it is served, and an empty one after that.
	OnChange func(url string)
	Log      *slog.Logger
}

// Backoff between tries to open an endpoint. One that stayed open for longestWait ends it.
const (
	firstWait   = time.Second
	longestWait = time.Minute
)

// Run keeps an endpoint open until ctx ends. It returns an error only if ngrok refuses the
// first one permanently.
func (n *Ngrok) Run(ctx context.Context) error {
	opened, failures := false, 0
	for {
		endpoint, err := n.Open(ctx)
		if err == nil {
			opened = true
			began := time.Now()
			err = n.serve(ctx, endpoint)
			if time.Since(began) >= longestWait {
				failures = 0
			}
		}
		refusal, refused := errors.AsType[*Refusal](err)
		switch {
		case ctx.Err() != nil:
			return nil
		case refused && refusal.Permanent() && !opened:
			return err
		}
		failures++
		wait := schedule.Doubling(failures, firstWait, longestWait)
		n.Log.WarnContext(ctx, "tunnel not open, retrying", "wait", wait.String(), "err", err)
		if !schedule.Sleep(ctx, wait) {
			return nil
		}
	}
}

// serve serves one endpoint until it fails.
func (n *Ngrok) serve(ctx context.Context, endpoint Endpoint) error {
	defer endpoint.End()
	public := endpoint.URL().String()
	n.Log.InfoContext(ctx, "tunnel open", "public_url", public)
	n.OnChange(public)
	defer n.OnChange("")
	return n.Serve(ctx, endpoint)
}
