package graph

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"outlook-monitor/internal/ooo"
)

// agent is the program's name to Graph and to the login endpoint.
const agent = "outlook-monitor"

// Bounds of what is read, in bytes.
const (
	mostAnswer  = 16 << 20 // a $batch of twenty settings with long texts
	mostRefusal = 64 << 10
)

// operation is a kind of request: its name in reports, and what a refusal is about.
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

// begin returns the context of an operation, which ends after limit.
func begin(ctx context.Context, op operation, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithValue(ctx, operationKey{}, op), limit)
}

// transport sends requests to Graph. It is an [http.RoundTripper] whose answers are
// all 2xx: any other becomes an error by [apiError.translate], and a request without
// an answer is [ooo.ErrUnavailable]. A creation that Graph may have got comes with
// [ooo.ErrNoAnswer] then.
type transport struct {
	cfg    Config
	pool   *http.Transport
	tokens *tokens
}

var errForeign = errors.New("the link leads to another host")

// notSent is the error of a request that did not leave.
func notSent(cause error) error { return fmt.Errorf("%w: %w", ooo.ErrUnavailable, cause) }

// RoundTrip sends a request that the SDK made. It takes the body out first, so that
// it can be sent twice and has a length: the SDK's bodies do neither.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return t.do(req, nil)
	}
	defer req.Body.Close()
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, notSent(err)
	}
	return t.do(req, body)
}

// do sends req with body and a token. A refused token is replaced, once.
func (t *transport) do(req *http.Request, body []byte) (*http.Response, error) {
	if !t.leadsTo(req.URL) {
		return nil, notSent(errForeign)
	}
	held, err := t.tokens.get(req.Context())
	if err != nil {
		return nil, err
	}
	resp, err := t.send(req, body, held)
	if !refusesToken(err) {
		return resp, err
	}
	fresh, failed := t.tokens.replace(req.Context(), held)
	switch {
	case failed != nil:
		return nil, failed
	case fresh == held: // replaced a moment ago: another would be refused too
		return nil, err
	}
	return t.send(req, body, fresh)
}

// leadsTo reports whether u is on the Graph that the tokens are for.
func (t *transport) leadsTo(u *url.URL) bool {
	ours := strings.TrimPrefix(t.cfg.Endpoint, "https://")
	return strings.EqualFold(u.Scheme, "https") &&
		strings.EqualFold(strings.TrimSuffix(u.Host, ":443"), strings.TrimSuffix(ours, ":443"))
}

// send makes one try.
func (t *transport) send(req *http.Request, body []byte, with *token) (*http.Response, error) {
	ctx := req.Context()
	if err := ctx.Err(); err != nil {
		return nil, notSent(err)
	}
	op, _ := ctx.Value(operationKey{}).(operation)
	var left atomic.Bool
	if op == opCreate {
		// Not WroteHeaders: Graph may have the request before that is called.
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { left.Store(true) }})
	}
	call := Call{Operation: string(op), ClientRequestID: uuid.NewString(), Began: time.Now()}
	out := req.Clone(ctx)
	out.Header["Authorization"] = []string{with.header}
	out.Header["Client-Request-Id"] = []string{call.ClientRequestID}
	out.Header["User-Agent"] = []string{agent}
	out.Body, out.GetBody, out.ContentLength = nil, nil, 0
	if body != nil {
		out.Body = io.NopCloser(bytes.NewReader(body))
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		out.ContentLength = int64(len(body))
	}
	resp, err := t.pool.RoundTrip(out)
	call.Ended = time.Now()
	if err == nil {
		call.Status, call.RequestID = resp.StatusCode, resp.Header.Get("Request-Id")
	}
	note(ctx, call)
	t.cfg.Observe(call.Operation, call.Status, call.Ended.Sub(call.Began))
	switch {
	case err != nil && left.Load():
		return nil, fmt.Errorf("%w: %w: %w", ooo.ErrUnavailable, ooo.ErrNoAnswer, err)
	case err != nil:
		return nil, notSent(err)
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		resp.Body = http.MaxBytesReader(nil, resp.Body, mostAnswer)
		return resp, nil
	}
	refused := readError(resp)
	t.cfg.Log.DebugContext(ctx, "Graph refused", "operation", op, "status", refused.status,
		"code", refused.code, "client_request_id", call.ClientRequestID)
	return nil, refused.translate(op)
}

// readError reads what Graph says in resp, which is no 2xx, and closes it.
func readError(resp *http.Response) *apiError {
	defer resp.Body.Close()
	// What can't be read is an error without a code.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, mostRefusal))
	now := time.Now()
	if sent, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		now = sent // the clock that an HTTP date in Retry-After goes by
	}
	return newAPIError(resp.StatusCode, body, resp.Header.Get("Retry-After"), now)
}

// Call is one request to Graph, as Microsoft's support would look it up.
type Call struct {
	Operation       string
	Status          int    // HTTP status; 0: no answer
	ClientRequestID string // ours
	RequestID       string // Graph's; empty without an answer
	Began, Ended    time.Time
}

// Calls collects the requests that are made with one context. Spans are made of them
// afterwards, if what they led to is worth a trace.
type Calls struct {
	mu  sync.Mutex
	all []Call // guarded by mu
}

type callsKey struct{}

// NoteCalls returns a context whose requests to Graph are collected.
func NoteCalls(ctx context.Context) (context.Context, *Calls) {
	calls := &Calls{}
	return context.WithValue(ctx, callsKey{}, calls), calls
}

// note collects a request, if ctx wants that.
func note(ctx context.Context, call Call) {
	if calls, ok := ctx.Value(callsKey{}).(*Calls); ok {
		calls.mu.Lock()
		defer calls.mu.Unlock()
		calls.all = append(calls.all, call)
	}
}

// All returns the requests so far, in the order in which they ended.
func (c *Calls) All() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[:len(c.all):len(c.all)]
}
