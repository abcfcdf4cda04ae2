// Package webhook takes what Microsoft Graph sends: the handshake of a new
// subscription, change notifications and lifecycle events.
//
// # Design
//
// A notification is a hint: it means "read this mailbox now" and nothing else.
// So genuine items become hints for the owners of their mailboxes, one for each
// mailbox and kind, and 202 is answered once Redis has all hints of the request;
// whatever else an item says is not believed. If Redis does not take them, 503
// makes Graph send it again. Whether a mailbox is monitored is found out by its
// owner.
//
// What is genuine is decided by the clientState first, item by item: it is derived
// from the object id, so that no look-up is needed, and a missing one is a wrong
// one. A forger gets the same 202 and learns nothing, and causes no call. One bad
// item spoils nothing for the others. Before a clientState is verified nothing else
// of the request is decoded, so that unauthenticated callers cost little memory.
//
// Resource data, which Graph encrypts for one of our [Certificates], must prove more:
// validation tokens must have come with it, all of them good ([Tokens]), and each item
// must be signed with the key that is in it. Bad tokens spoil the whole request, with
// resource data or without. Of what is decrypted only the form is checked: it may keep us
// from reading the mailbox, but is never taken for its setting.
//
// What can't be proved for want of something is no forgery. While the keys of the login
// endpoint can't be had, or if the certificate is one that is not here, a right
// clientState is enough for a read, which is harmless, and is counted. Keys are fetched
// ahead, and by one goroutine alone that waits between two fetches: no flood of tokens
// makes it ask more often. Nor are tokens checked unless there is a right clientState
// beside them.
//
// Lifecycle events become hints for whoever keeps the subscriptions. Both paths take
// both kinds: which one Graph uses is its choice.
package webhook

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/otel/trace"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/server"
)

// The paths under PUBLIC_URL.
const (
	NotificationPath = "/graph/notifications"
	LifecyclePath    = "/graph/lifecycle"
)

// Verdict is what an item was found to be; a metric label.
type Verdict string

const (
	Accepted Verdict = "accepted"  // a change notification
	Forged   Verdict = "forged"    // its clientState is missing or wrong
	Ignored  Verdict = "ignored"   // null, no object, or of an unknown kind
	Event    Verdict = "lifecycle" // a lifecycle event

	BadToken      Verdict = "bad_token"     // a validation token is missing or not Graph's
	BadSignature  Verdict = "bad_signature" // its encrypted content is not Graph's
	Unverified    Verdict = "unverified"    // believed by its clientState, because its tokens can't be checked now
	Undecryptable Verdict = "undecryptable" // believed, but encrypted for a certificate that is not here
)

// Config says what a [Receiver] works with. While Ready says no, nothing else but Public
// is used.
type Config struct {
	Ready  func() bool    // whether the store may be written to
	Public *server.Public // who may call, and the limits of bodies

	// Leave stores hints for the owners of mailboxes, each with a nonce of its own. It
	// returns nil once all are stored.
	Leave func(ctx context.Context, hints ...ooo.Hint) error
	Keys  func(ctx context.Context) (ooo.ClientStateKeys, error)

	Tokens       *Tokens       // checks validation tokens; nil: items are judged by their clientState alone
	Certificates *Certificates // open encrypted content; nil: there are none

	Counted  func(verdict string, n int) // called for n items with a verdict
	Answered func(took time.Duration)    // called for each body that was answered
	Tracer   trace.Tracer                // of requests that leave hints
	Log      *slog.Logger
}

// Receiver answers Graph.
type Receiver struct {
	cfg Config
}

// Graph wants an answer within 3 s, and judges by it how fast it sends.
const (
	storeTime = 2500 * time.Millisecond
	proofTime = 1500 * time.Millisecond // of storeTime, for tokens and content
	maxEcho   = 4 << 10
)

// New returns a receiver.
func New(cfg Config) *Receiver { return &Receiver{cfg} }

// Register adds both paths to an engine that sets the headers of every answer. Other
// methods than POST are answered 405.
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
	token, asked, ok := handshake(request.URL.RawQuery)
	switch {
	case request.Method != http.MethodPost:
		c.Header("Allow", http.MethodPost)
		server.Refuse(w, request, http.StatusMethodNotAllowed)
	case asked && !ok:
		server.Refuse(w, request, http.StatusBadRequest)
	case asked:
		if request.ContentLength != 0 {
			c.Header("Connection", "close") // the body is never read, and not waited for
		}
		c.Data(http.StatusOK, "text/plain; charset=utf-8", []byte(token))
	case !r.cfg.Ready():
		server.Refuse(w, request, http.StatusServiceUnavailable)
	default:
		r.cfg.Public.Receive(w, request, func(body []byte) { r.answer(c, body) })
	}
}

// answer takes a collection. 503 makes Graph send it again.
func (r *Receiver) answer(c *gin.Context, body []byte) {
	began := time.Now()
	defer func() { r.cfg.Answered(time.Since(began)) }()
	ctx, cancel := context.WithTimeout(c.Request.Context(), storeTime)
	defer cancel()
	switch err := r.take(ctx, began, body); {
	case err == nil:
		c.Status(http.StatusAccepted)
	case errors.Is(err, errNoCollection): // anyone can send nonsense: not worth a line each
		r.cfg.Log.DebugContext(ctx, "request to a Graph path refused", "err", err)
		server.Refuse(c.Writer, c.Request, http.StatusBadRequest)
	default:
		r.cfg.Log.WarnContext(ctx, "notification not stored, Graph sends it again", "err", err)
		server.Refuse(c.Writer, c.Request, http.StatusServiceUnavailable)
	}
}
