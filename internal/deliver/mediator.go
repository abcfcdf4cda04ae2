package deliver

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// Timeouts of calls to the mediator. The mediator takes up to 10 s for a state, because it waits
// for speech; for a sync it posts every user back before it answers.
const (
	reachTimeout  = 5 * time.Second
	setupTimeout  = 35 * time.Second
	proxyTimeout  = 10 * time.Second // a proxy that answers later than this may have given up waiting
	statusTimeout = 30 * time.Second // more than abandonedTime, or the next attempt would overlap this one
	maxAnswer     = 64 << 10         // bytes
)

// MediatorConfig says where the mediator is and how to authenticate to it.
type MediatorConfig struct {
	URL            *url.URL // base; a user and password in it become Basic auth
	Token          string   // bearer token; empty: none
	SigningSecrets []string // Standard Webhooks secrets, whsec_…; each makes a signature
	Transport      http.RoundTripper
}

// Mediator is the program that receives the states.
type Mediator struct {
	base          *url.URL // without user and password, which must not appear in errors and traces
	authorization string   // value of the header; empty: none
	signers       []*standardwebhooks.Webhook
	transport     http.RoundTripper // not a client: it follows no redirect
}

// NewTransport returns a connection pool for the mediator.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     30 * time.Second,
		WriteBufferSize:     16 << 10, // the headers stay in it until [holdBack] lets them go
	}
}

// NewMediator returns the mediator of cfg. It makes no call.
func NewMediator(cfg MediatorConfig) (*Mediator, error) {
	if cfg.URL == nil {
		return nil, errors.New("the URL of the mediator is required")
	}
	base := *cfg.URL
	base.User = nil
	m := &Mediator{base: &base, transport: cfg.Transport}
	if cfg.Token != "" {
		m.authorization = "Bearer " + cfg.Token
	} else if user := cfg.URL.User; user != nil {
		password, _ := user.Password()
		m.authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
	}
	for _, secret := range cfg.SigningSecrets {
		signer, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return nil, errors.New("a signing secret is not whsec_ followed by base64")
		}
		m.signers = append(m.signers, signer)
	}
	return m, nil
}

// Status is the state of one address for the mediator.
type Status struct {
	Address   string // as the mediator spells it
	State     ooo.State
	WebhookID string
	// Ready reports whether the request may still be written. It is called once a
	// connection is open.
	Ready func() bool
}

// SetStatus sends the mediator one state.
func (m *Mediator) SetStatus(ctx context.Context, s Status) Answer {
	status := "False"
	if s.State.Away {
		status = "True"
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	// The first mediator expects exactly these three strings.
	_ = encoder.Encode(struct { // strings can always be encoded
		Email   string `json:"email"`
		Status  string `json:"status"`
		Message string `json:"message"`
	}{s.Address, status, s.State.Message})
	payload := bytes.TrimSuffix(body.Bytes(), []byte("\n"))
	now := time.Now()
	header := http.Header{
		"Content-Type":      {"application/json"},
		"Webhook-Id":        {s.WebhookID},
		"Webhook-Timestamp": {strconv.FormatInt(now.Unix(), 10)},
	}
	var signatures []string // one for each secret, so that the mediator can change its secret at any time
	for _, signer := range m.signers {
		signature, err := signer.Sign(s.WebhookID, now, payload)
		if err != nil {
			return Answer{err: errors.New("the request could not be signed")}
		}
		signatures = append(signatures, signature)
	}
	if len(signatures) > 0 {
		header.Set("Webhook-Signature", strings.Join(signatures, " "))
	}
	var held atomic.Bool
	a := m.call(holdBack(ctx, s.Ready, &held), http.MethodPost, "/api/setstatus", header, statusTimeout, payload)
	a.unsent = a.code == 0 && held.Load()
	return a
}

// holdBack returns a context for a request. Unless ready returns true once a connection is
// open, held is set and nothing of the request is written, not even its headers. When the
// transport reports the headers as written they are still in its buffer: closing the
// connection keeps them there.
func holdBack(ctx context.Context, ready func() bool, held *atomic.Bool) context.Context {
	var conn net.Conn
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { conn = info.Conn },
		WroteHeaders: func() {
			if !ready() {
				held.Store(true)
				_ = conn.Close()
			}
		},
	})
}

// Reach returns an error if the mediator does not answer or answers with a server error. A
// mediator that accepts only POST may answer 501.
func (m *Mediator) Reach(ctx context.Context) error {
	a := m.call(ctx, http.MethodGet, "/", http.Header{}, reachTimeout, nil)
	if a.err != nil || a.code >= 500 && a.code != http.StatusNotImplemented {
		return fmt.Errorf("the mediator is unreachable: %w", a.problem())
	}
	return nil
}

// ErrStillBusy means that the mediator may still be posting its users: a request for them got
// no answer in time, from the mediator or from a proxy before it.
var ErrStillBusy = errors.New("mediator setup: it may still be posting its users")

// Setup asks the mediator to post all its users to /monitor, and returns once the mediator
// has done so, or an error, such as [ErrStillBusy].
func (m *Mediator) Setup(ctx context.Context) error {
	if err := m.Reach(ctx); err != nil {
		return err
	}
	began := time.Now()
	a := m.call(ctx, http.MethodPost, "/api/setup", http.Header{}, setupTimeout, nil)
	unavailable := a.code == http.StatusServiceUnavailable || a.code == http.StatusGatewayTimeout
	switch {
	case errors.Is(a.err, errNoAnswer), unavailable && time.Since(began) >= proxyTimeout:
		return fmt.Errorf("%w: %w", ErrStillBusy, a.problem())
	case a.err != nil || a.code/100 != 2:
		return fmt.Errorf("mediator setup: %w", a.problem())
	}
	var answer struct {
		Result any `json:"result"`
	}
	if err := json.Unmarshal(a.body, &answer); err != nil || !strings.EqualFold(fmt.Sprint(answer.Result), "true") {
		return errors.New(`mediator setup: the answer is not {"result":"True"}`)
	}
	return nil
}

// call makes one request.
func (m *Mediator) call(ctx context.Context, method, path string, header http.Header, limit time.Duration, body []byte) Answer {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, m.base.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return Answer{err: errors.New("the URL of the mediator is invalid")}
	}
	request.Header = header
	request.Header.Set("User-Agent", "outlook-monitor")
	if m.authorization != "" {
		request.Header.Set("Authorization", m.authorization)
	}
	response, err := m.transport.RoundTrip(request)
	if err != nil {
		return Answer{err: problemOf(err)}
	}
	defer response.Body.Close()
	a := Answer{code: response.StatusCode}
	a.after = schedule.RetryAfter(response.Header.Get("Retry-After"), time.Now(), 0, retryAfterMost)
	if a.body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer)); err != nil && a.code/100 == 2 {
		a.err = fmt.Errorf("the answer broke off: %w", problemOf(err))
	}
	return a
}

var (
	errNoAnswer  = errors.New("no answer in time")
	errBadAnswer = errors.New("the connection broke, or the answer is not valid HTTP")
)

// problemOf returns the error of a call without anything that the mediator sent: net/http quotes
// what it can't parse, which may be an address or a message.
func problemOf(err error) error {
	network, isNetwork := errors.AsType[net.Error](err)
	op, _ := errors.AsType[*net.OpError](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	_, plaintext := errors.AsType[tls.RecordHeaderError](err)
	dialing := op != nil && (op.Op == "dial" || op.Op == "proxyconnect") // the mediator has received nothing
	switch {
	case isNetwork && network.Timeout() && !dialing:
		return errNoAnswer
	case isNetwork, untrusted, plaintext, errors.Is(err, http.ErrSchemeMismatch), errors.Is(err, context.Canceled):
		return err
	}
	return errBadAnswer
}
