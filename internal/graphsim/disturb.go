package graphsim

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// disturbCall lets the faults that are set happen to a call. If hit, the reply
// takes the place of the call's own.
func (s *Server) disturbCall(c *call, op operation) (rep reply, hit bool) {
	if s.faults.none() || c.inner && s.faults.noneInside() {
		return reply{}, false
	}
	scope := allFault
	if c.inner {
		scope = batchItemFault
	}
	for _, f := range s.faults.fire(s.userOf(c, op), requestKinds, op.String(), scope) {
		switch f.Kind {
		case "latency":
			if !sleep(c.ctx, time.Duration(f.Delay)) {
				return reply{reset: true}, true
			}
		case "hang":
			<-c.ctx.Done()
			return reply{reset: true}, true
		case "reset":
			return reply{reset: true}, true
		case "throttle":
			return f.throttle(), true
		case "status":
			return f.refuse(), true
		}
	}
	return reply{}, false
}

func (f Fault) throttle() reply {
	rep := fail(http.StatusTooManyRequests, cmp.Or(f.Code, "TooManyRequests"), "Too many requests")
	rep.retryAfter = time.Duration(cmp.Or(f.RetryAfter, Duration(time.Second)))
	return rep
}

func (f Fault) refuse() reply {
	status := cmp.Or(f.Status, http.StatusServiceUnavailable)
	code := cmp.Or(f.Code, statusCodes[status], "generalException")
	message := cmp.Or(f.Message, http.StatusText(status), code)
	if status == http.StatusUnauthorized && f.User != "" && f.Code == "" {
		// The token is as good for this user as for the others: this is how a mailbox
		// of its own answers in the field.
		code, message = "UnknownError", ""
	}
	rep := fail(status, code, message)
	rep.retryAfter = time.Duration(f.RetryAfter)
	return rep
}

// statusCodes are the error codes that Graph mostly has with a status.
var statusCodes = map[int]string{
	http.StatusBadRequest:          "BadRequest",
	http.StatusUnauthorized:        "InvalidAuthenticationToken",
	http.StatusForbidden:           "ErrorAccessDenied",
	http.StatusNotFound:            "ResourceNotFound",
	http.StatusTooManyRequests:     "TooManyRequests",
	http.StatusInternalServerError: "InternalServerError",
	http.StatusBadGateway:          "BadGateway",
	http.StatusServiceUnavailable:  "ServiceUnavailable",
	http.StatusGatewayTimeout:      "GatewayTimeout",
}

// sleep waits for d and says whether ctx lasted as long.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// userOf finds the id of the user that a call is about, "" if it isn't about
// one.
func (s *Server) userOf(c *call, op operation) string {
	key := ""
	switch {
	case op == opRead || op == opDirectory:
		if len(c.path) > 1 {
			key = c.path[1]
		}
	case op == opSubscriptionCreate:
		var ask struct {
			Resource string `json:"resource"`
		}
		if json.Unmarshal(c.body, &ask) == nil {
			t, _ := parseResource(ask.Resource)
			key = t.user
		}
	case len(c.path) > 1 && strings.EqualFold(c.path[0], "subscriptions"):
		if sub, ok := s.subs.get(c.path[1], time.Now()); ok {
			return sub.UserID
		}
	}
	if a := s.directory.find(key); a != nil {
		return a.ID
	}
	return ""
}

// disturb is disturbCall for the login endpoint, which answers by itself. It
// says whether the request may go on.
func (s *Server) disturb(w http.ResponseWriter, r *http.Request, op operation) bool {
	rep, hit := s.disturbCall(&call{ctx: r.Context()}, op)
	switch {
	case !hit:
		return true
	case rep.reset:
		panic(http.ErrAbortHandler)
	case rep.retryAfter > 0:
		w.Header().Set("Retry-After", seconds(rep.retryAfter))
	}
	s.loginError(w, rep.status, "temporarily_unavailable", 90033, "A transient error has occurred. Please try again.")
	return false
}
