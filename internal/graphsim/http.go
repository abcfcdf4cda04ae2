package graphsim

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxBody bounds a request to Graph, unpacked.
const maxBody = 4 << 20

// httpHandler answers on the HTTPS listener: Graph below /v1.0, the login
// endpoint elsewhere.
func (s *Server) httpHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/v1.0/")
		switch {
		case ok:
			s.serveGraph(w, r, path)
		case s.serveLogin(w, r):
		default:
			s.write(w, r, requestID(), fail(http.StatusNotFound, "ResourceNotFound", "Resource not found."))
		}
	})
}

// serveGraph turns an HTTP request into a call and its reply into the answer.
func (s *Server) serveGraph(w http.ResponseWriter, r *http.Request, path string) {
	id := requestID()
	now := time.Now()
	segments, ok := splitPath(path)
	if !ok {
		s.write(w, r, id, badRequest("The request URI is malformed."))
		return
	}
	c := &call{
		ctx: r.Context(), method: r.Method, path: segments, query: r.URL.RawQuery,
		header: r.Header.Get,
	}
	route := routeOf(c)
	var rep reply
	if refusal, ok := s.overQuota(route, now); ok {
		rep = refusal
	} else if grant, err := s.login.check(r.Header.Get("Authorization"), now); err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer realm="", authorization_uri="https://`+r.Host+`/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000"`)
		rep = fail(http.StatusUnauthorized, "InvalidAuthenticationToken", err.Error())
	} else if c.body, err = readBody(w, r); err != nil {
		rep = bodyError(err)
	} else {
		c.grant = grant
		rep = s.answer(c, route)
	}
	s.stats.call(route.op, rep)
	if rep.reset {
		panic(http.ErrAbortHandler) // cuts the connection, or the HTTP/2 stream
	}
	s.write(w, r, id, rep)
}

// overQuota counts a request against the whole app's quota. A $batch counts as
// the requests in it.
func (s *Server) overQuota(r route, now time.Time) (reply, bool) {
	if r.op == opBatch {
		return reply{}, false
	}
	wait := s.app.take(now)
	if wait == 0 {
		return reply{}, false
	}
	return throttled(wait, "TooManyRequests", "Too many requests"), true
}

// write sends rep.
func (s *Server) write(w http.ResponseWriter, r *http.Request, id string, rep reply) {
	client := r.Header.Get("Client-Request-Id")
	if client == "" {
		client = id
	}
	h := w.Header()
	h["Request-Id"] = []string{id}
	h["Client-Request-Id"] = []string{client}
	if rep.retryAfter > 0 {
		h.Set("Retry-After", seconds(rep.retryAfter))
	}
	body := rep.content(id, client)
	if body != nil {
		h["Content-Type"] = contentTypeJSON
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(rep.status)
	_, _ = w.Write(body) // a client that went away is no error here
}

var contentTypeJSON = []string{"application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"}

var (
	errEncoding = errors.New("content encoding is not gzip")
	errTooLarge = errors.New("body is too large")
)

// readBody returns the request's body, unpacked.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	var from io.Reader = http.MaxBytesReader(w, r.Body, maxBody)
	switch strings.ToLower(r.Header.Get("Content-Encoding")) {
	case "", "identity":
	case "gzip":
		unpacked, err := gzip.NewReader(from)
		if err != nil {
			return nil, err
		}
		from = unpacked
	default:
		return nil, errEncoding
	}
	var body bytes.Buffer
	body.Grow(int(min(max(r.ContentLength, 0), 64<<10)) + bytes.MinRead)
	_, err := body.ReadFrom(io.LimitReader(from, maxBody+1))
	if err == nil && body.Len() > maxBody {
		err = errTooLarge
	}
	return body.Bytes(), err
}

func bodyError(err error) reply {
	switch _, tooLarge := errors.AsType[*http.MaxBytesError](err); {
	case tooLarge, errors.Is(err, errTooLarge):
		return fail(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The request is too large.")
	case errors.Is(err, errEncoding):
		return fail(http.StatusUnsupportedMediaType, "UnsupportedMediaType", "The content encoding is not supported.")
	}
	return badRequest("Unable to read the request body.")
}
