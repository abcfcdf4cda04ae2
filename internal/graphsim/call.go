package graphsim

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// call is one request to Graph, either an HTTP request or one inside a $batch.
type call struct {
	ctx     context.Context
	method  string
	path    []string // segments after /v1.0, unescaped
	query   url.Values
	header  func(name string) string
	body    []byte
	inner   bool     // inside a $batch
	account *account // owner of the mailbox; set by inMailbox
}

// readTarget sets path and query from a target below /v1.0, such as
// users/x?$select=id.
func (c *call) readTarget(target string) *reply {
	path, query, _ := strings.Cut(target, "?")
	segments, err := splitPath(path)
	if err != nil {
		return badRequest("The request URI is malformed.")
	}
	c.path = segments
	if c.query, err = url.ParseQuery(query); err != nil {
		return badRequest("The query is malformed.")
	}
	return nil
}

// splitPath returns the unescaped segments of a path.
func splitPath(path string) ([]string, error) {
	segments := strings.Split(strings.Trim(path, "/"), "/")
	for i, s := range segments {
		plain, err := url.PathUnescape(s)
		if err != nil {
			return nil, err
		}
		segments[i] = plain
	}
	return segments, nil
}

// reply is the answer to a call. Functions that check something return nil if the check
// passes.
type reply struct {
	status        int
	body          any           // encoded as JSON; nil: no body
	code, message string        // Graph's error, instead of body
	retryAfter    time.Duration // 0: none
	reset         bool          // close the connection instead
}

func respond(status int, body any) *reply { return &reply{status: status, body: body} }

func fail(status int, code, message string) *reply {
	return &reply{status: status, code: code, message: message}
}

func throttled(after time.Duration, code, message string) *reply {
	r := fail(http.StatusTooManyRequests, code, message)
	r.retryAfter = max(after, time.Second)
	return r
}

func badRequest(message string) *reply {
	return fail(http.StatusBadRequest, "BadRequest", message)
}

// invalidRequest refuses a property of a subscription.
func invalidRequest(message string) *reply {
	return fail(http.StatusBadRequest, "InvalidRequest", message)
}

func forbidden() *reply {
	return fail(http.StatusForbidden, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
}

// content returns the body to send. Errors contain the request ids.
func (r *reply) content(requestID, clientRequestID string) any {
	if r.code == "" {
		return r.body
	}
	return map[string]any{"error": map[string]any{
		"code": r.code, "message": r.message,
		"innerError": map[string]string{
			"date":       time.Now().UTC().Format("2006-01-02T15:04:05"),
			"request-id": requestID, "client-request-id": clientRequestID,
		},
	}}
}
