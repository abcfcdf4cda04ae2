// Package webhook takes what Microsoft Graph sends: the handshake of a new
// subscription, change notifications and lifecycle events.
//
// # The story
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
// of the request is decoded, so that strangers cost little memory.
//
// Resource data, which Graph encrypts for one of our [Certificates], must prove
// more: validation tokens must have come with it, all of them good ([Tokens]), and
// each item must be signed with the key that is in it. Bad tokens spoil the whole
// request, with resource data or without. What is decrypted is looked at for no
// more than its form: it may keep us from reading the mailbox, but never tells us
// what is in there.
//
// What can't be proved for want of something is no forgery. While the keys of the
// login endpoint can't be had, or if the certificate is one that is not here, a
// right clientState is enough for a read, which is harmless, and is counted. Keys
// are fetched ahead, and by one goroutine alone that waits between two fetches:
// no flood of tokens makes it ask more often. Nor are tokens looked at unless
// there is a right clientState beside them.
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
)

// The paths under PUBLIC_URL.
const (
	NotificationPath = "/graph/notifications"
	LifecyclePath    = "/graph/lifecycle"
)

// MaxBody is the longest body that is read.
const MaxBody = 4 << 20

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

// Config says what a [Receiver] works with.
type Config struct {
	// Leave stores hints for the owners of mailboxes, each with a nonce of its own. It
	// returns nil once all are stored.
	Leave func(ctx context.Context, hints ...ooo.Hint) error
	Keys  func(ctx context.Context) (ooo.ClientStateKeys, error)

	// Tokens checks validation tokens. If it is nil, items are judged by their
	// clientState alone.
	Tokens *Tokens
	// Certificates open encrypted content; nil: there are none.
	Certificates *Certificates

	// Counted is called for n items with a verdict; it may be nil.
	Counted func(verdict string, n int)
	Tracer  trace.Tracer // of requests that leave hints
	Log     *slog.Logger
}

// Receiver answers Graph.
type Receiver struct {
	cfg Config
}

// Graph wants an answer within 3 s, and judges by it how fast it sends.
const (
	storeTime = 2500 * time.Millisecond
	bodyTime  = 8 * time.Second
	proofTime = 1500 * time.Millisecond // of storeTime, for tokens and content
	maxBody   = MaxBody
	maxEcho   = 4 << 10
)

// New returns a receiver.
func New(cfg Config) (*Receiver, error) {
	if cfg.Leave == nil || cfg.Keys == nil || cfg.Tracer == nil {
		return nil, errors.New("webhook: Leave, Keys and Tracer are required")
	}
	if cfg.Counted == nil {
		cfg.Counted = func(string, int) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Receiver{cfg: cfg}, nil
}

// Register adds both paths. Other methods than POST are answered 405.
func (r *Receiver) Register(routes gin.IRoutes) {
	for _, path := range []string{NotificationPath, LifecyclePath} {
		routes.Any(path, r.handle)
	}
}

// outcomes says how each refusal is answered. The first match wins.
var outcomes = []struct {
	err    error
	status int
}{
	{nil, http.StatusAccepted},
	{errTooLarge, http.StatusRequestEntityTooLarge},
	{errSlow, http.StatusRequestTimeout},
	{errNoCollection, http.StatusBadRequest},
	{errNotKept, http.StatusServiceUnavailable}, // Graph will send it again
}

func statusOf(err error) int {
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return o.status
		}
	}
	return http.StatusServiceUnavailable
}

func (r *Receiver) handle(c *gin.Context) {
	c.Header("X-Content-Type-Options", "nosniff")
	c.Header("Cache-Control", "no-store")
	if c.Request.Method != http.MethodPost {
		c.Header("Allow", http.MethodPost)
		c.AbortWithStatus(http.StatusMethodNotAllowed)
		return
	}
	token, asked, ok := handshake(c.Request.URL.RawQuery)
	if asked && c.Request.ContentLength != 0 {
		c.Header("Connection", "close") // the body is never read, and not waited for
	}
	switch {
	case asked && !ok:
		c.AbortWithStatus(http.StatusBadRequest)
		return
	case asked:
		c.Data(http.StatusOK, "text/plain; charset=utf-8", []byte(token))
		return
	}
	// Writers that can't have a deadline are those of tests.
	_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(bodyTime))
	err := r.receive(c.Writer, c.Request)
	status := statusOf(err)
	switch status {
	case http.StatusAccepted:
	case http.StatusServiceUnavailable:
		r.cfg.Log.WarnContext(c.Request.Context(), "notification not stored, Graph sends it again", "status", status, "err", err)
		c.Header("Retry-After", "1")
	default: // anyone can send nonsense: not worth a line each
		r.cfg.Log.DebugContext(c.Request.Context(), "request to a Graph path refused", "status", status, "err", err)
	}
	c.AbortWithStatus(status)
}
