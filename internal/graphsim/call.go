package graphsim

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// call is one request to Graph: one of its own or one inside a $batch.
type call struct {
	ctx    context.Context
	method string
	path   []string // segments after /v1.0, unescaped
	query  string   // raw
	header func(name string) string
	body   []byte
	grant  *grant
	inner  bool // inside a $batch
}

// values returns the decoded query; false if it is malformed.
func (c *call) values() (url.Values, bool) {
	v, err := url.ParseQuery(c.query)
	return v, err == nil
}

// reply is the answer to a call.
type reply struct {
	status     int
	body       []byte        // JSON, or nil
	fail       *apiError     // instead of body
	retryAfter time.Duration // 0: none
	reset      bool          // cut the connection instead
}

// apiError is the code and message of Graph's error body.
type apiError struct {
	code, message string
}

func fail(status int, code, message string) reply {
	return reply{status: status, fail: &apiError{code, message}}
}

func throttled(after time.Duration, code, message string) reply {
	r := fail(http.StatusTooManyRequests, code, message)
	r.retryAfter = max(after, time.Second)
	return r
}

func badRequest(message string) reply {
	return fail(http.StatusBadRequest, "BadRequest", message)
}

func forbidden() reply {
	return fail(http.StatusForbidden, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
}

// respond is a reply with v as its JSON body.
func respond(status int, v any) reply {
	body, err := spell(v)
	if err != nil {
		return fail(http.StatusInternalServerError, "generalException", "The answer could not be written.")
	}
	return reply{status: status, body: body}
}

// spell is v in JSON with its angle brackets as they are, the way Graph sends
// them.
func spell(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// seconds spells a Retry-After, rounded up.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// content returns the body of the answer, with the ids of the request if it is
// an error.
func (r reply) content(request, client string) []byte {
	if r.fail == nil {
		return r.body
	}
	inner := map[string]string{
		"date":              time.Now().UTC().Format("2006-01-02T15:04:05"),
		"request-id":        request,
		"client-request-id": client,
	}
	body, err := spell(map[string]any{"error": map[string]any{
		"code": r.fail.code, "message": r.fail.message, "innerError": inner,
	}})
	if err != nil {
		return []byte(`{"error":{"code":"generalException","message":""}}`)
	}
	return body
}

// splitPath cuts a path below /v1.0 into its segments, unescaped; ok is false
// if an escape is broken.
func splitPath(path string) (segments []string, ok bool) {
	segments = strings.Split(strings.Trim(path, "/"), "/")
	if !strings.Contains(path, "%") {
		return segments, true
	}
	for i, s := range segments {
		plain, err := url.PathUnescape(s)
		if err != nil {
			return nil, false
		}
		segments[i] = plain
	}
	return segments, true
}

// writeJSON answers outside Graph proper: login and control.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that went away is no error here
}
