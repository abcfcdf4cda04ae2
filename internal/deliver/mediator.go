package deliver

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// How long the mediator may take. It waits up to 10 s itself for speech to be
// made; for a sync it posts every user back before it answers.
const (
	reachTimeout  = 5 * time.Second
	setupTimeout  = 35 * time.Second
	statusTimeout = 30 * time.Second
	maxAnswer     = 64 << 10 // bytes of an answer that are read
)

// MediatorConfig says where the mediator is and how it knows us.
type MediatorConfig struct {
	URL            *url.URL          // base; a user and password in it become Basic auth
	Token          string            // bearer token; empty: none
	SigningSecrets []string          // Standard Webhooks secrets, whsec_…; all sign
	Transport      http.RoundTripper // default [NewTransport]
}

// Mediator is the program that receives the states.
type Mediator struct {
	base          *url.URL // without user and password: no error and no trace may contain them
	authorization string   // the header's value; empty: none
	signers       []*standardwebhooks.Webhook
	transport     http.RoundTripper // not a client: it follows no redirect
}

// NewTransport returns a pool of connections to the mediator.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     30 * time.Second,
	}
}

// NewMediator checks cfg and returns the mediator. It makes no call.
func NewMediator(cfg MediatorConfig) (*Mediator, error) {
	if cfg.URL == nil || cfg.URL.Host == "" {
		return nil, errors.New("the mediator's URL is required")
	}
	base := *cfg.URL
	base.User = nil
	m := &Mediator{base: &base, authorization: authorization(cfg), transport: cfg.Transport}
	if m.transport == nil {
		m.transport = NewTransport()
	}
	for _, secret := range cfg.SigningSecrets {
		signer, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return nil, errors.New("a signing secret is not whsec_ and base64")
		}
		m.signers = append(m.signers, signer)
	}
	return m, nil
}

// authorization returns how the mediator knows us: by the token, or by the user
// and password of its URL.
func authorization(cfg MediatorConfig) string {
	switch user := cfg.URL.User; {
	case cfg.Token != "":
		return "Bearer " + cfg.Token
	case user != nil:
		password, _ := user.Password()
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
	}
	return ""
}

// Status is what the mediator receives of one address.
type Status struct {
	Address   string // as the mediator spells it
	State     ooo.State
	WebhookID string
	// Ready says whether the body may still be sent; nil: always. It is asked when the
	// connection is there.
	Ready func() bool
}

// Answer is what became of a call.
type Answer struct {
	code   int           // 0: none came
	after  time.Duration // Retry-After; 0: not asked for
	body   []byte
	unsent bool  // the body was held back: the mediator has received nothing
	err    error // why no answer came; never with a secret
}

// SetStatus sends the mediator one state.
func (m *Mediator) SetStatus(ctx context.Context, s Status) Answer {
	said := "False"
	if s.State.Away {
		said = "True"
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	// The first outlook-monitor's body: all three always, all strings.
	if err := encoder.Encode(struct {
		Email   string `json:"email"`
		Status  string `json:"status"`
		Message string `json:"message"`
	}{s.Address, said, s.State.Message}); err != nil {
		return Answer{err: fmt.Errorf("encode: %w", err)}
	}
	payload := bytes.TrimSuffix(body.Bytes(), []byte("\n"))
	header := http.Header{}
	now := time.Now()
	header.Set("Content-Type", "application/json")
	header.Set("Webhook-Id", s.WebhookID)
	header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	if signature, err := m.sign(s.WebhookID, now, payload); err != nil {
		return Answer{err: err}
	} else if signature != "" {
		header.Set("Webhook-Signature", signature)
	}
	var refused atomic.Bool
	a := m.call(ctx, http.MethodPost, "/api/setstatus", header, statusTimeout, func() io.ReadCloser {
		return &heldBody{unread: bytes.NewReader(payload), ready: s.Ready, refused: &refused}
	}, int64(len(payload)))
	a.unsent = a.code == 0 && refused.Load()
	return a
}

// heldBody is a body that refuses to be read once it may no longer be sent.
type heldBody struct {
	unread  *bytes.Reader
	ready   func() bool  // nil: always
	refused *atomic.Bool // set then
}

var errHeldBack = errors.New("too late to send this")

// Read implements [io.Reader].
func (b *heldBody) Read(p []byte) (int, error) {
	if b.unread.Len() > 0 && b.ready != nil && !b.ready() {
		b.refused.Store(true)
		return 0, errHeldBack
	}
	return b.unread.Read(p)
}

// Close implements [io.Closer].
func (b *heldBody) Close() error { return nil }

// sign returns the Standard Webhooks signatures, separated by spaces: one for
// each secret, so that the mediator can change its own at any time.
func (m *Mediator) sign(id string, at time.Time, body []byte) (string, error) {
	var signatures []string
	for _, signer := range m.signers {
		signature, err := signer.Sign(id, at, body)
		if err != nil {
			return "", errors.New("the signature could not be made")
		}
		signatures = append(signatures, signature)
	}
	return strings.Join(signatures, " "), nil
}

// Reach says whether the mediator answers.
func (m *Mediator) Reach(ctx context.Context) error {
	if a := m.call(ctx, http.MethodGet, "/", nil, reachTimeout, nil, 0); a.err != nil || a.code >= 500 {
		return fmt.Errorf("the mediator is out of reach: %w", a.problem())
	}
	return nil
}

// ErrStillBusy means that the mediator did not answer a request for its users in
// time: it may still be posting them.
var ErrStillBusy = errors.New("mediator setup: no answer in time, it may still be posting its users")

// Setup asks the mediator to post all its users to /monitor. It returns once the
// mediator says it has. The error is [ErrStillBusy] if it does not say so in time.
func (m *Mediator) Setup(ctx context.Context) error {
	if err := m.Reach(ctx); err != nil {
		return err
	}
	a := m.call(ctx, http.MethodPost, "/api/setup", nil, setupTimeout, nil, 0)
	switch {
	case errors.Is(a.err, errNoAnswer):
		return ErrStillBusy
	case a.err != nil || a.code/100 != 2:
		return fmt.Errorf("mediator setup: %w", a.problem())
	}
	var said struct {
		Result any `json:"result"`
	}
	if err := json.Unmarshal(a.body, &said); err != nil || !strings.EqualFold(fmt.Sprint(said.Result), "true") {
		return errors.New(`mediator setup: its answer is not {"result":"True"}`)
	}
	return nil
}

// call makes one request. A body can be made more than once, so that the transport
// can repeat a request that went to a connection which the mediator had closed.
func (m *Mediator) call(ctx context.Context, method, path string, header http.Header, limit time.Duration, body func() io.ReadCloser, length int64) Answer {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, m.base.JoinPath(path).String(), nil)
	if err != nil {
		return Answer{err: errors.New("the mediator's URL makes no request")}
	}
	if header != nil {
		request.Header = header
	}
	if body != nil {
		request.Body, request.ContentLength = body(), length
		request.GetBody = func() (io.ReadCloser, error) { return body(), nil }
	}
	request.Header.Set("User-Agent", "outlook-monitor")
	if m.authorization != "" {
		request.Header.Set("Authorization", m.authorization)
	}
	response, err := m.transport.RoundTrip(request)
	if err != nil {
		return Answer{err: unanswered(err)}
	}
	defer response.Body.Close()
	a := Answer{code: response.StatusCode}
	a.after, _ = schedule.RetryAfter(response.Header.Get("Retry-After"), time.Now(), 0, retryAfterMost)
	if a.body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer)); err != nil && a.code/100 == 2 {
		a.err = fmt.Errorf("the answer broke off: %w", unanswered(err))
	}
	return a
}

var errNoAnswer = errors.New("no answer in time")

// unanswered says in plain words that a time limit passed.
func unanswered(err error) error {
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
		return errNoAnswer
	}
	return err
}

// problem says what went wrong in one sentence.
func (a Answer) problem() error {
	if a.err != nil {
		return a.err
	}
	return fmt.Errorf("the mediator answered %d %s", a.code, http.StatusText(a.code))
}

// refusals are the answers that mean this state will not be taken, as far as the
// mediator can tell now.
var refusals = map[int]bool{400: true, 401: true, 404: true, 405: true, 410: true, 422: true}

// result is what the answer to an attempt means.
type result struct {
	Result
	unsent    bool
	failures  int           // in a row that ended like this one
	wait      time.Duration // until the next attempt
	throttled bool          // the mediator asked for that wait
}

// result says what an answer means for an address, as it was when the attempt began.
func (a Answer) result(address *ooo.Address) result {
	before := address.Delivery
	r := result{unsent: a.unsent, Result: Result{
		State: ooo.DeliveryDelivered, Source: address.Source, Sequence: address.Sequence, Attempt: before.Attempts,
	}}
	if a.code/100 == 2 || a.unsent {
		return r
	}
	r.Error, r.State = a.problem().Error(), ooo.DeliveryPending
	if refusals[a.code] {
		r.State = ooo.DeliveryRefused
	}
	r.failures = 1 // each kind of trouble starts with its own first wait
	if (before.State == ooo.DeliveryRefused) == (r.State == ooo.DeliveryRefused) {
		r.failures += before.Failures
	}
	if r.State == ooo.DeliveryRefused {
		r.wait = schedule.Doubling(r.failures, refusedFirst, refusedMost)
	} else {
		r.wait = schedule.Backoff(r.failures, failedFirst, failedMost)
	}
	if a.after > 0 {
		// A refusal is about this state: a newer one need not wait.
		r.wait, r.throttled = a.after, r.State != ooo.DeliveryRefused
	}
	return r
}
