package graph

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"outlook-monitor/internal/ooo"
)

// agent is the program's name to Graph and to the login endpoint.
const agent = "outlook-monitor"

// Bounds of what is read.
const (
	mostAnswer  = 16 << 20 // a $batch of twenty settings with long texts
	mostRefusal = 64 << 10
	mostRequest = 1 << 20
	mostClaims  = 8 << 10
)

// door is the way out to Graph. It is an [http.RoundTripper] whose answers are
// all 2xx: what Graph refuses is the error, a [refusal]. A call that got no
// answer is [ooo.ErrUnavailable] with an [unanswered] in it.
type door struct {
	endpoint  string
	transport *http.Transport
	tokens    *tokens
	observe   func(operation string, status int, took time.Duration)
	log       *slog.Logger
}

// unanswered is a call that Graph did not answer.
type unanswered struct {
	left  bool // Graph may have got it
	cause error
}

func (u *unanswered) Error() string {
	if u.left {
		return "no answer: " + u.cause.Error()
	}
	return "not sent: " + u.cause.Error()
}

func (u *unanswered) Unwrap() error { return u.cause }

var (
	errForeign  = errors.New("the link leads to another host")
	errTooLarge = errors.New("the request is too large")
)

// notSent is the error of a call that did not leave.
func notSent(cause error) error {
	return fmt.Errorf("%w: %w", ooo.ErrUnavailable, &unanswered{cause: cause})
}

// RoundTrip sends req, which the SDK made.
func (d *door) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := bodyOf(req)
	if err != nil {
		return nil, notSent(err)
	}
	return d.call(req, body)
}

// call sends req with body and a token. A 401 is answered with a new token, once.
func (d *door) call(req *http.Request, body []byte) (*http.Response, error) {
	if !d.leadsTo(req.URL) {
		return nil, notSent(errForeign)
	}
	held, err := d.tokens.get(req.Context())
	if err != nil {
		return nil, err
	}
	resp, err := d.send(req, body, held)
	refused, ok := errors.AsType[*refusal](err)
	if !ok || refused.status != http.StatusUnauthorized || refused.exchange() || // Exchange does not mean the token
		refused.claims == "" && req.Context().Value(keepTokenKey{}) != nil {
		return resp, err
	}
	fresh, again := d.tokens.replace(req.Context(), held, refused.claims)
	switch {
	case again != nil:
		return nil, again
	case fresh == held: // replaced a moment ago: another would be refused too
		return nil, err
	}
	return d.send(req, body, fresh)
}

// leadsTo says whether u is on the Graph that the tokens are for.
func (d *door) leadsTo(u *url.URL) bool {
	return strings.EqualFold(u.Scheme, "https") &&
		strings.EqualFold(strings.TrimSuffix(u.Host, ":443"), strings.TrimSuffix(strings.TrimPrefix(d.endpoint, "https://"), ":443"))
}

// bodyOf takes the body out of req, so that it can be sent twice and says how
// long it is: the SDK's bodies do neither.
func bodyOf(req *http.Request) ([]byte, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return nil, nil
	}
	defer req.Body.Close()
	body, err := io.ReadAll(io.LimitReader(req.Body, mostRequest+1))
	if err == nil && len(body) > mostRequest {
		err = errTooLarge
	}
	return body, err
}

// send makes one try.
func (d *door) send(req *http.Request, body []byte, with *token) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, notSent(err)
	}
	// Not WroteHeaders: Graph may have the request before that is called.
	var left atomic.Bool
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { left.Store(true) }})
	id := requestID()
	out := req.Clone(ctx)
	out.Header["Authorization"] = []string{with.header}
	out.Header["Client-Request-Id"] = []string{id}
	out.Header["User-Agent"] = []string{agent}
	out.Body, out.GetBody, out.ContentLength = nil, nil, 0
	if body != nil {
		out.Body = io.NopCloser(bytes.NewReader(body))
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		out.ContentLength = int64(len(body))
	}
	operation := operationOf(req)
	began := time.Now()
	resp, err := d.transport.RoundTrip(out)
	if calls := callsOf(ctx); calls != nil {
		calls.add(callOf(operation, id, resp, began))
	}
	if err != nil {
		d.observe(operation, 0, time.Since(began))
		return nil, fmt.Errorf("%w: %w", ooo.ErrUnavailable, &unanswered{left.Load(), withoutURL(err)})
	}
	d.observe(operation, resp.StatusCode, time.Since(began))
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		resp.Body = http.MaxBytesReader(nil, resp.Body, mostAnswer)
		return resp, nil
	}
	refused := refusalOf(resp)
	d.log.DebugContext(ctx, "Graph refused", "operation", operation, "status", refused.status,
		"code", refused.code, "client_request_id", id)
	return nil, refused
}

// callOf describes a call that was just answered; resp is nil if it was not.
func callOf(operation, id string, resp *http.Response, began time.Time) Call {
	call := Call{Operation: operation, ClientRequestID: id, Began: began, Ended: time.Now()}
	if resp != nil {
		call.Status, call.RequestID = resp.StatusCode, resp.Header.Get("Request-Id")
	}
	return call
}

// refusalOf reads what Graph says in resp, which is no 2xx, and closes it.
func refusalOf(resp *http.Response) *refusal {
	defer resp.Body.Close()
	// What can't be read is a refusal without a code.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, mostRefusal))
	now := time.Now()
	if sent, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		now = sent // the clock that an HTTP date in Retry-After goes by
	}
	r := newRefusal(resp.StatusCode, body, resp.Header.Get("Retry-After"), now)
	r.claims = claimsOf(resp.Header.Values("WWW-Authenticate"))
	return r
}

var claimsParameter = regexp.MustCompile(`(?i)\bclaims="([A-Za-z0-9+/_=-]+)"`)

// claimsOf returns what Graph demands of a new token, as JSON; mostly nothing.
func claimsOf(challenges []string) string {
	for _, challenge := range challenges {
		found := claimsParameter.FindStringSubmatch(challenge)
		if found == nil || len(found[1]) > mostClaims {
			continue
		}
		plain := strings.NewReplacer("-", "+", "_", "/", "=", "").Replace(found[1])
		if claims, err := base64.RawStdEncoding.DecodeString(plain); err == nil && json.Valid(claims) {
			return string(claims)
		}
	}
	return ""
}

// operationOf names what is asked for reports; there are few names, whatever
// the ids are.
func operationOf(req *http.Request) string {
	path := strings.TrimPrefix(req.URL.Path, version)
	switch {
	case path == batchPath:
		return "batch"
	case strings.HasSuffix(path, settingPath):
		return "read"
	case strings.HasPrefix(path, "/users"):
		return "directory"
	case !strings.HasPrefix(path, "/subscriptions"):
		return "other"
	}
	switch req.Method {
	case http.MethodPost:
		return "subscription-create"
	case http.MethodPatch:
		return "subscription-renew"
	case http.MethodDelete:
		return "subscription-delete"
	}
	return "subscription-list"
}

// requestID returns a random UUID, which Microsoft's support asks for.
func requestID() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	raw[6] = raw[6]&0x0f | 0x40
	raw[8] = raw[8]&0x3f | 0x80
	var text [36]byte
	hex.Encode(text[0:8], raw[0:4])
	hex.Encode(text[9:13], raw[4:6])
	hex.Encode(text[14:18], raw[6:8])
	hex.Encode(text[19:23], raw[8:10])
	hex.Encode(text[24:36], raw[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}
