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
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"outlook-monitor/internal/due"
	"outlook-monitor/internal/ooo"
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

// Mediator is the program that is told.
type Mediator struct {
	base          *url.URL // without user and password: no error and no trace may tell them
	authorization string   // the header's value; empty: none
	signers       []*standardwebhooks.Webhook
	wire          http.RoundTripper // not a client: it follows no redirect
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
	m := &Mediator{base: &base, authorization: authorization(cfg), wire: cfg.Transport}
	if m.wire == nil {
		m.wire = NewTransport()
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

// status is the body of /api/setstatus: the first outlook-monitor's, all three
// always, all strings.
type status struct {
	Email   string `json:"email"`
	Status  string `json:"status"`
	Message string `json:"message"`
}

// answer is what became of one call.
type answer struct {
	code  int           // 0: none came
	after time.Duration // Retry-After; 0: not asked for
	body  []byte
	err   error // why none came; never with a secret
}

// SetStatus tells the mediator one state.
func (m *Mediator) SetStatus(ctx context.Context, p ooo.Parcel) answer {
	word := "False"
	if p.State.Away {
		word = "True"
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(status{Email: p.Address, Status: word, Message: p.State.Message}); err != nil {
		return answer{err: fmt.Errorf("encode: %w", err)}
	}
	payload := bytes.TrimSuffix(body.Bytes(), []byte("\n"))
	header := http.Header{}
	now := time.Now()
	header.Set("Webhook-Id", p.WebhookID)
	header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	if signature, err := m.sign(p.WebhookID, now, payload); err != nil {
		return answer{err: err}
	} else if signature != "" {
		header.Set("Webhook-Signature", signature)
	}
	return m.call(ctx, http.MethodPost, "/api/setstatus", payload, header, statusTimeout)
}

// sign returns the Standard Webhooks signatures, separated by spaces: one for
// each secret, so that the mediator can change its own at leisure.
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
	if a := m.call(ctx, http.MethodGet, "/", nil, nil, reachTimeout); a.err != nil || a.code >= 500 {
		return fmt.Errorf("the mediator is out of reach: %w", a.problem())
	}
	return nil
}

// Setup asks the mediator to post all its users to /monitor. It returns once the
// mediator says it has.
func (m *Mediator) Setup(ctx context.Context) error {
	if err := m.Reach(ctx); err != nil {
		return err
	}
	a := m.call(ctx, http.MethodPost, "/api/setup", nil, nil, setupTimeout)
	if a.err != nil || a.code/100 != 2 {
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

func (m *Mediator) call(ctx context.Context, method, path string, body []byte, header http.Header, limit time.Duration) answer {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, m.base.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return answer{err: errors.New("the mediator's URL makes no request")}
	}
	if header != nil {
		request.Header = header
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("User-Agent", "outlook-monitor")
	if m.authorization != "" {
		request.Header.Set("Authorization", m.authorization)
	}
	response, err := m.wire.RoundTrip(request)
	if err != nil {
		return answer{err: unanswered(err)}
	}
	defer response.Body.Close()
	a := answer{code: response.StatusCode, after: retryAfter(response.Header.Get("Retry-After"), time.Now())}
	a.body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil && a.code/100 == 2 && path != "/api/setstatus" {
		a.err = errors.New("the answer broke off")
	}
	return a
}

// unanswered says in plain words that a time limit passed.
func unanswered(err error) error {
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
		return errors.New("no answer in time")
	}
	return err
}

// problem says what went wrong in one sentence.
func (a answer) problem() error {
	if a.err != nil {
		return a.err
	}
	return fmt.Errorf("the mediator answered %d %s", a.code, http.StatusText(a.code))
}

// refusals are the answers that mean this state will not be taken, as far as the
// mediator can tell now (contract: 404, 400, 401, 405, 410, 422).
var refusals = map[int]bool{400: true, 401: true, 404: true, 405: true, 410: true, 422: true}

// receipt says what an answer to an attempt means and when the next one is due.
func (a answer) receipt(p ooo.Parcel, now time.Time) ooo.Receipt {
	r := ooo.Receipt{Parcel: p, State: ooo.DeliveryDelivered}
	if a.err == nil && a.code/100 == 2 {
		return r
	}
	r.Error = a.problem().Error()
	r.State = ooo.DeliveryPending
	wait := due.Backoff(p.Attempt, time.Second, time.Minute)
	if a.err == nil && refusals[a.code] {
		r.State = ooo.DeliveryRefused
		wait = due.Doubling(p.Attempt, 5*time.Second, 15*time.Minute)
	}
	if a.after > 0 {
		// A refusal is about this state: a newer one need not wait.
		wait, r.Floor = a.after, r.State != ooo.DeliveryRefused
	}
	r.Next = now.Add(wait)
	return r
}

// mostRetryAfter bounds a wait that the mediator asks for: a slip of its clock
// must not silence a mailbox for a day.
const mostRetryAfter = time.Hour

// retryAfter reads a Retry-After header: seconds or an HTTP date.
func retryAfter(value string, now time.Time) time.Duration {
	wait := time.Duration(0)
	seconds, err := strconv.Atoi(value) // a number too long for it becomes the greatest
	if err == nil || errors.Is(err, strconv.ErrRange) {
		wait = time.Duration(min(max(seconds, 0), int(mostRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), mostRetryAfter)
}
