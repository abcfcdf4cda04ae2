package graph

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"outlook-monitor/internal/ooo"
)

// userAgent names the program to Graph and to the login endpoint.
const userAgent = "outlook-monitor"

// Limits of answers, in bytes.
const (
	maxBody      = 16 << 20 // a $batch of twenty settings with long texts
	maxErrorBody = 64 << 10
)

// operation is a kind of request. It is reported to Config.Observe and decides what an
// error answer means.
type operation string

const (
	opRead      operation = "read"
	opBatch     operation = "batch"
	opDirectory operation = "directory"
	opPresence  operation = "presence"
	opCreate    operation = "subscription-create"
	opRenew     operation = "subscription-renew"
	opDelete    operation = "subscription-delete"
	opList      operation = "subscription-list"
)

type operationKey struct{}

// withOperation returns the context for the requests of an operation.
func withOperation(ctx context.Context, op operation, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithValue(ctx, operationKey{}, op), timeout)
}

// transport is an [http.RoundTripper] for requests to Graph that returns only 2xx answers.
// Any other answer becomes an error by [apiError.translate], and no answer becomes
// [ooo.ErrUnavailable].
type transport struct {
	cfg    Config
	conns  *http.Transport
	tokens *tokens
}

var errOtherHost = errors.New("the link leads to another host")

// noAnswer returns the error of a request that got no answer, perhaps because it was not sent.
func noAnswer(cause error) error { return fmt.Errorf("%w: %w", ooo.ErrUnavailable, cause) }

// RoundTrip sends a request of the SDK. It reads the body first, because the SDK's bodies
// can't be sent twice and have no length.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return t.do(req, nil)
	}
	defer req.Body.Close()
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, noAnswer(err)
	}
	return t.do(req, body)
}

// do sends req with a token. If Graph refuses the token, do replaces it and sends req again,
// once.
func (t *transport) do(req *http.Request, body []byte) (*http.Response, error) {
	if !t.isGraph(req.URL) {
		return nil, noAnswer(errOtherHost)
	}
	current, err := t.tokens.get(req.Context())
	if err != nil {
		return nil, err
	}
	resp, err := t.send(req, body, current)
	if !isTokenRefused(err) {
		return resp, err
	}
	renewed, loginErr := t.tokens.replace(req.Context(), current)
	switch {
	case loginErr != nil:
		return nil, loginErr
	case renewed == current: // a new token was refused too, a moment ago
		return nil, err
	}
	return t.send(req, body, renewed)
}

// isGraph reports whether u is on the Graph that the tokens are for.
func (t *transport) isGraph(u *url.URL) bool {
	host := strings.TrimPrefix(t.cfg.Endpoint, "https://")
	return strings.EqualFold(u.Scheme, "https") &&
		strings.EqualFold(strings.TrimSuffix(u.Host, ":443"), strings.TrimSuffix(host, ":443"))
}

// send sends req once.
func (t *transport) send(req *http.Request, body []byte, with *token) (*http.Response, error) {
	ctx := req.Context()
	if err := ctx.Err(); err != nil {
		return nil, noAnswer(err)
	}
	op, _ := ctx.Value(operationKey{}).(operation)
	call := Call{Operation: string(op), ClientRequestID: uuid.NewString(), Began: time.Now()}
	out, err := http.NewRequestWithContext(ctx, req.Method, req.URL.String(), bytes.NewReader(body))
	if err != nil {
		return nil, noAnswer(err)
	}
	out.Header = req.Header.Clone()
	out.Header["Authorization"] = []string{with.header}
	out.Header["Client-Request-Id"] = []string{call.ClientRequestID}
	out.Header["User-Agent"] = []string{userAgent}
	resp, err := t.conns.RoundTrip(out)
	call.Ended = time.Now()
	if err == nil {
		call.Status, call.RequestID = resp.StatusCode, resp.Header.Get("Request-Id")
	}
	if calls, ok := ctx.Value(callsKey{}).(*[]Call); ok {
		*calls = append(*calls, call)
	}
	t.cfg.Observe(call.Operation, call.Status, call.Ended.Sub(call.Began))
	switch {
	case err != nil:
		return nil, noAnswer(err)
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxBody)
		return resp, nil
	}
	apiErr := readError(resp)
	t.cfg.Log.DebugContext(ctx, "Graph answered with an error", "operation", op, "status", apiErr.status,
		"code", apiErr.code, "client_request_id", call.ClientRequestID)
	return nil, apiErr.translate(op)
}

// readError reads an error answer and closes its body.
func readError(resp *http.Response) *apiError {
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // if it is incomplete, the error has no code
	now := time.Now()
	if sent, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		now = sent // an HTTP date in Retry-After is relative to the sender's clock
	}
	return newAPIError(resp.StatusCode, body, resp.Header.Get("Retry-After"), now)
}

// Call is one request to Graph, with the ids that Microsoft's support needs to find it.
type Call struct {
	Operation       string
	Status          int // HTTP status; 0: no answer
	ClientRequestID string
	RequestID       string // of the answer; empty: none
	Began, Ended    time.Time
}

type callsKey struct{}

// RecordCalls returns a context whose requests to Graph are appended to the returned slice:
// if their result is worth a trace, they become spans afterwards. The context is for one call
// of [Client] at a time.
func RecordCalls(ctx context.Context) (context.Context, *[]Call) {
	calls := new([]Call)
	return context.WithValue(ctx, callsKey{}, calls), calls
}
