// Package webhook receives what Microsoft Graph sends: the handshake of a new
// subscription, change notifications and lifecycle events.
//
// # Notifications are hints
//
// A notification means "read this mailbox now" and nothing else; none of its other
// content is trusted. Genuine items become hints for the owners of their mailboxes, one
// for each mailbox and kind. A request is answered with 202 once Redis has all its hints,
// and with 503 if it does not, so that Graph sends it again. Only the owner of a mailbox
// knows whether it is monitored.
//
// # Verification
//
// Each item is verified by its clientState first. That is derived from the object id, so
// verifying it needs no look-up; a missing one is a wrong one. Forged items get the same
// 202 and cause no call. One invalid item does not affect the others. Nothing else of a
// request is decoded before a clientState is verified, so unauthenticated requests cost
// little memory.
//
// Resource data, which Graph encrypts for one of the [Certificates], needs more: its
// request must have validation tokens, all of them valid ([Tokens]), and each item must be
// signed with the key that it contains. An invalid token invalidates the whole request,
// with or without resource data. Decrypted data is only checked for its form, never
// used as the mailbox's setting.
//
// An item that can't be verified is not treated as forged. While the keys of the login
// endpoint are unavailable, or if the certificate is unknown, a valid clientState is
// enough for a read, which is harmless, and is counted. Keys are fetched in advance, and for
// unknown keys within a rate limit, however many tokens have one. Tokens are checked only if
// at least one item has a valid clientState.
//
// Both paths accept changes and lifecycle events: Graph chooses which one it uses.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/server"
)

// The paths under PUBLIC_URL.
const (
	NotificationPath = "/graph/notifications"
	LifecyclePath    = "/graph/lifecycle"
)

// Config configures a [Receiver]. All of it is required but Tokens and Certificates. Until
// Ready returns true, only Public is used.
type Config struct {
	Ready  func() bool    // whether hints can be stored
	Public *server.Public // limits callers and bodies

	// LeaveHints stores hints for the owners of mailboxes, each with a nonce of its own. It
	// returns nil once all are stored.
	LeaveHints func(ctx context.Context, hints ...ooo.Hint) error
	Keys       func(ctx context.Context) (ooo.ClientStateKeys, error)

	Tokens       *Tokens       // checks validation tokens; nil: items are verified by clientState alone
	Certificates *Certificates // decrypts resource data; nil: none is expected

	Counted  func(verdict string, n int) // called for n items with a verdict
	Answered func(took time.Duration)    // called for each body that was answered
	Tracer   trace.Tracer                // of requests that lead to hints
	Log      *slog.Logger
}

// Receiver answers Graph.
type Receiver struct {
	cfg      Config
	warnings rate.Sometimes // that notifications are not stored
}

// Graph expects an answer within 3 s, and slows down or drops notifications otherwise.
const (
	answerTimeout = 2500 * time.Millisecond
	verifyTimeout = 1500 * time.Millisecond // of answerTimeout, for tokens and content
)

// New returns a receiver.
func New(cfg Config) *Receiver {
	return &Receiver{cfg: cfg, warnings: rate.Sometimes{Interval: time.Minute}}
}

// Register adds both paths to an engine that sets the headers of all answers. Methods
// other than POST are answered with 405.
func (r *Receiver) Register(routes gin.IRoutes) {
	for _, path := range []string{NotificationPath, LifecyclePath} {
		routes.Any(path, r.handle)
	}
}

func (r *Receiver) handle(c *gin.Context) {
	w, request := c.Writer, c.Request
	if !r.cfg.Public.Admits(w, request) {
		return
	}
	token, isHandshake := handshake(request.URL.RawQuery)
	switch {
	case request.Method != http.MethodPost:
		c.Header("Allow", http.MethodPost)
		server.Refuse(w, request, http.StatusMethodNotAllowed)
	case isHandshake && !mayEcho(token):
		server.Refuse(w, request, http.StatusBadRequest)
	case isHandshake:
		if request.ContentLength != 0 {
			c.Header("Connection", "close") // the body is neither read nor waited for
		}
		c.Data(http.StatusOK, "text/plain; charset=utf-8", []byte(token))
	case !r.cfg.Ready():
		server.Refuse(w, request, http.StatusServiceUnavailable)
	default:
		r.cfg.Public.Receive(w, request, func(body []byte) { r.answer(c, body) })
	}
}

// answer processes a collection. A 503 makes Graph send it again.
func (r *Receiver) answer(c *gin.Context, body []byte) {
	began := time.Now()
	defer func() { r.cfg.Answered(time.Since(began)) }()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request.Context()), answerTimeout) // see [server.Public.Receive]
	defer cancel()
	switch err := r.process(ctx, began, body); {
	case err == nil:
		c.Status(http.StatusAccepted)
	case errors.Is(err, errNoCollection): // anyone can cause it: not worth a warning
		r.cfg.Log.DebugContext(ctx, "request to a Graph path refused", "err", err)
		server.Refuse(c.Writer, c.Request, http.StatusBadRequest)
	default:
		r.warnings.Do(func() {
			r.cfg.Log.WarnContext(ctx, "notifications not stored, Graph sends them again", "err", err)
		})
		server.Refuse(c.Writer, c.Request, http.StatusServiceUnavailable)
	}
}

// process verifies a collection and stores the hints that it leads to.
func (r *Receiver) process(ctx context.Context, began time.Time, body []byte) error {
	c, err := split(body)
	if err != nil {
		return err
	}
	counts := map[verdict]int{}
	notifications, err := r.verifyClientStates(ctx, c.Items, counts)
	if err != nil {
		return err
	}
	r.verifyContents(ctx, notifications, c.Tokens)
	for _, n := range notifications {
		if n.verdict == accepted && n.event != "" {
			n.verdict = lifecycle
		}
		counts[n.verdict]++
	}
	trusted := slices.DeleteFunc(notifications, func(n notification) bool { return !n.verdict.trusted() })
	if len(trusted) > 0 {
		if err := r.storeHints(ctx, began, len(trusted), hintsFor(trusted, time.Now())); err != nil {
			return fmt.Errorf("hints: %w", err)
		}
	}
	r.report(ctx, counts) // not before: what is not stored comes again
	return nil
}

// report counts and logs how many items got each verdict.
func (r *Receiver) report(ctx context.Context, counts map[verdict]int) {
	for verdict, n := range counts {
		r.cfg.Counted(string(verdict), n)
		r.cfg.Log.DebugContext(ctx, "items verified", "verdict", verdict, "items", n)
	}
}
