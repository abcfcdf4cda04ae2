package tunnel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"golang.ngrok.com/ngrok/v2"

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

// Account opens endpoints at ngrok.
type Account struct {
	Token  string
	URL    string // of a domain reserved for the account; empty: ngrok assigns one
	Server string // host:port to connect to; empty: ngrok's own
}

// openTimeout bounds how long opening may take: ngrok's SDK itself retries forever.
const openTimeout = 20 * time.Second

var errTimeout = errors.New("ngrok did not answer in time")

// Open opens an endpoint. The SDK restores a broken session under the same URL. The
// endpoint fails only if that is impossible.
func (a Account) Open(ctx context.Context) (Endpoint, error) {
	// The session ends with the context that it was opened with, and must outlive ctx.
	session, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, func() { end(ctx.Err()) })()
	timeout := time.AfterFunc(openTimeout, func() { end(errTimeout) })
	options := []ngrok.AgentOption{
		ngrok.WithAuthtoken(a.Token),
		ngrok.WithClientInfo("outlook-monitor", "1"),
		ngrok.WithLogger(slog.New(slog.DiscardHandler)), // its errors may contain the token
		ngrok.WithEventHandler(func(e ngrok.Event) {
			// While the endpoint is being opened, the first failure ends the attempt.
			if lost, ok := e.(*ngrok.EventAgentDisconnected); ok && lost.Error != nil && timeout.Stop() {
				end(lost.Error)
			}
		}),
	}
	if a.Server != "" {
		options = append(options, ngrok.WithAgentConnectURL(a.Server))
	}
	agent, err := ngrok.NewAgent(options...)
	if err != nil {
		end(nil)
		return nil, explain(err)
	}
	var wanted []ngrok.EndpointOption
	if a.URL != "" {
		wanted = append(wanted, ngrok.WithURL(a.URL))
	}
	listener, err := agent.Listen(session, wanted...)
	if inTime := timeout.Stop(); err != nil || !inTime {
		cause := context.Cause(session)
		end(nil)
		_ = agent.Disconnect()
		if cause != nil && !errors.Is(cause, context.Canceled) {
			err = cause
		}
		return nil, explain(err)
	}
	return &ngrokEndpoint{listener, agent, end}, nil
}

// ngrokEndpoint is an endpoint with its session.
type ngrokEndpoint struct {
	ngrok.EndpointListener
	agent ngrok.Agent
	end   context.CancelCauseFunc
}

// Close asks ngrok to send no more connections. If it does not answer, the session ends too.
func (e *ngrokEndpoint) Close() error {
	defer time.AfterFunc(time.Second, e.End).Stop()
	return e.EndpointListener.Close()
}

// End ends the session.
func (e *ngrokEndpoint) End() {
	e.end(nil)
	_ = e.agent.Disconnect()
}

// Refusal is ngrok's error code, such as ERR_NGROK_105, or empty if it gave none.
type Refusal struct{ Code string }

// Error returns the code and what to do.
func (r *Refusal) Error() string {
	remedy, ok := remedies[r.Code]
	switch {
	case r.Code == "":
		return "ngrok refused without an error code: check the account at https://dashboard.ngrok.com"
	case !ok:
		remedy = "see https://ngrok.com/docs/errors/" + strings.ToLower(r.Code)
	}
	return fmt.Sprintf("ngrok refused with %s: %s", r.Code, remedy)
}

// Permanent reports whether retries are useless without another token.
func (r *Refusal) Permanent() bool { return remedies[r.Code] == badToken }

const badToken = "NGROK_AUTHTOKEN is not valid: copy it from https://dashboard.ngrok.com/get-started/your-authtoken"

var remedies = map[string]string{
	"ERR_NGROK_105":  badToken,
	"ERR_NGROK_106":  badToken,
	"ERR_NGROK_107":  badToken,
	"ERR_NGROK_4018": badToken,
	"ERR_NGROK_108":  "the account has as many sessions as its plan allows: end one of them",
	"ERR_NGROK_319":  "NGROK_URL is not reserved for this account: reserve it at https://dashboard.ngrok.com/domains",
	"ERR_NGROK_320":  "NGROK_URL is reserved for another account: choose another",
	"ERR_NGROK_334":  "NGROK_URL is in use by another tunnel: end that tunnel",
}

// coded is an error of the SDK with a code that does not implement [ngrok.Error].
type coded interface {
	error
	ErrorCode() string
}

// explain returns a [Refusal] for an error that ngrok sent, and otherwise an error
// without ngrok's text.
func explain(err error) error {
	if sent, ok := errors.AsType[ngrok.Error](err); ok {
		return &Refusal{Code: sent.Code()}
	}
	if sent, ok := errors.AsType[coded](err); ok {
		return &Refusal{Code: sent.ErrorCode()}
	}
	if errors.Is(err, errTimeout) {
		return err
	}
	return fmt.Errorf("ngrok is unreachable: allow connections to connect.ngrok-agent.com:443, without TLS inspection: %w", connError(err))
}
