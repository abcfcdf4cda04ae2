package graphsim

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxBody limits the size of a request to Graph, after decompression.
const maxBody = 4 << 20

// graphHandler serves HTTPS: Graph below /v1.0, the login endpoint elsewhere.
func (s *Server) graphHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/v1.0/")
		if ok {
			s.serveGraph(w, r, path)
			return
		}
		rep := s.loginReply(w, r)
		if rep.reset {
			panic(http.ErrAbortHandler)
		}
		writeJSON(w, rep.status, rep.retryAfter, rep.content(requestID(), requestID()))
	})
}

// serveGraph converts an HTTP request to a call and sends its reply.
func (s *Server) serveGraph(w http.ResponseWriter, r *http.Request, path string) {
	c := &call{ctx: r.Context(), method: r.Method, header: r.Header.Get}
	refusal := c.readTarget(path + "?" + r.URL.RawQuery)
	if refusal == nil {
		refusal = s.checkToken(r.Header.Get("Authorization"), time.Now())
	}
	if refusal == nil {
		c.body, refusal = readBody(w, r)
	}
	rep := s.do(c, refusal)
	if rep.reset {
		panic(http.ErrAbortHandler) // closes the connection, or the HTTP/2 stream
	}
	write(w, r, rep)
}

// do answers a call and counts it. refusal is not nil if the call was refused already.
func (s *Server) do(c *call, refusal *reply) *reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, rep := s.routeOf(c), refusal
	if rep == nil && r.op != opBatch { // a $batch counts as the requests in it
		rep = s.quotas[opAll].take(time.Now())
	}
	switch {
	case rep != nil:
	case r.role != "" && !s.allows(r.role):
		rep = forbidden()
	case r.op == opRead:
		rep = s.inMailbox(c, r.handle)
	default:
		rep = s.applyFaults(c, r.op)
		if q := s.quotas[r.op]; rep == nil && q != nil {
			rep = q.take(time.Now())
		}
		if rep == nil {
			rep = r.handle(c)
		}
	}
	s.stats.call(r.op, rep)
	return rep
}

// write sends a reply of Graph.
func write(w http.ResponseWriter, r *http.Request, rep *reply) {
	id := requestID()
	client := cmp.Or(r.Header.Get("Client-Request-Id"), id)
	h := w.Header()
	h.Set("Request-Id", id)
	h.Set("Client-Request-Id", client)
	if rep.code == invalidToken {
		h.Set("WWW-Authenticate", `Bearer realm="", authorization_uri="https://`+r.Host+
			`/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000"`)
	}
	if rep.body != nil || rep.code != "" {
		h.Set("Content-Type", "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8")
	}
	writeJSON(w, rep.status, rep.retryAfter, rep.content(id, client))
}

// writeJSON sends v, or only the status if v is nil, with a Retry-After if it is above 0.
// It ignores clients that have disconnected.
func writeJSON(w http.ResponseWriter, status int, retryAfter time.Duration, v any) {
	h := w.Header()
	if retryAfter > 0 {
		h.Set("Retry-After", seconds(retryAfter))
	}
	if v == nil {
		w.WriteHeader(status)
		return
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // as Graph sends it
	if err := encoder.Encode(v); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json; charset=utf-8")
	}
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimSuffix(body.Bytes(), []byte("\n")))
}

// seconds formats a Retry-After, rounded up.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// readBody returns the decompressed body of a request.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *reply) {
	var from io.Reader = http.MaxBytesReader(w, r.Body, maxBody)
	switch strings.ToLower(r.Header.Get("Content-Encoding")) {
	case "", "identity":
	case "gzip":
		unpacked, err := gzip.NewReader(from)
		if err != nil {
			return nil, badRequest("Unable to read the request body.")
		}
		from = unpacked
	default:
		return nil, fail(http.StatusUnsupportedMediaType, "UnsupportedMediaType", "The content encoding is not supported.")
	}
	body, err := io.ReadAll(io.LimitReader(from, maxBody+1))
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case tooLarge, len(body) > maxBody:
		return nil, fail(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The request is too large.")
	case err != nil:
		return nil, badRequest("Unable to read the request body.")
	}
	return body, nil
}
