package graphsim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"outlook-monitor/internal/schedule"
)

// Duration is a time.Duration that is encoded as "1.5s" in JSON.
type Duration time.Duration

// MarshalText encodes d like [time.Duration.String].
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText decodes text with [time.ParseDuration].
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// Fault makes the Server misbehave.
type Fault struct {
	ID string `json:"id"` // set by SetFault

	// Operation is what the fault affects: one of the operations that Stats counts,
	// batch-item (any request inside a $batch), notification, lifecycle, or all
	// (every request outside a $batch).
	Operation string `json:"operation"`

	// Kind is what happens. Requests: latency (of Delay), throttle (429, with
	// RetryAfter), status (with Status and Code), reset, hang. Creating or renewing
	// subscriptions: short-life (Graph grants the shorter Life), early-expiry (the
	// subscription ends after Life, whatever Graph granted). The list of
	// subscriptions: omit (a subscription is missing), empty (a page is empty, with a
	// link to the rest), repeat (a page links to itself). Notifications: drop, double,
	// delay (by Delay, so that later ones overtake it), reorder (the next one to the
	// same URL overtakes it, if it comes within 500 ms), forge (one with a wrong
	// clientState comes before it).
	Kind string `json:"kind"`

	Probability *float64 `json:"probability,omitempty"` // above 0, up to 1; nil: 1
	Times       int      `json:"times,omitempty"`       // how often it happens; 0: no limit
	User        string   `json:"user,omitempty"`        // id, UPN or mail; empty: all users
	Status      int      `json:"status,omitempty"`      // default 503
	Code        string   `json:"code,omitempty"`        // Graph's error code; default depends on the status
	Message     string   `json:"message,omitempty"`     // of kind status; default depends on the status
	RetryAfter  Duration `json:"retryAfter,omitzero"`   // of kind throttle: default 1s; negative: no Retry-After
	Delay       Duration `json:"delay,omitzero"`
	Life        Duration `json:"life,omitzero"`

	Hits int `json:"hits"` // how often it has happened

	userID string // of User
}

func (f *Fault) expired() bool { return f.Times > 0 && f.Hits >= f.Times }

// Operations of faults besides those of requests.
const (
	opBatchItem    = "batch-item"
	opNotification = "notification"
	opLifecycle    = "lifecycle"
	opAll          = "all"
)

// Kinds of faults, by the method of Server that applies them.
var (
	requestKinds      = []string{"latency", "throttle", "status", "reset", "hang"} // applyFaults, for each request
	subscriptionKinds = []string{"short-life", "early-expiry"}                     // applyLifeFaults, when a life is granted
	omitKinds         = []string{"omit"}                                           // listSubscriptions, for each of them
	pageKinds         = []string{"empty", "repeat"}                                // listSubscriptions, for each page
	notificationKinds = []string{"drop", "double", "delay", "reorder", "forge"}    // send, for each item
)

// faultKinds lists the kinds that each operation supports.
var faultKinds = map[string][]string{
	opOther: requestKinds, opToken: requestKinds, opRead: requestKinds, opBatch: requestKinds,
	opDirectory: requestKinds, opPresence: requestKinds,
	opSubscriptionCreate: slices.Concat(requestKinds, subscriptionKinds),
	opSubscriptionRenew:  slices.Concat(requestKinds, subscriptionKinds),
	opSubscriptionDelete: requestKinds, opSubscriptionGet: requestKinds, opSubscriptionReauthorize: requestKinds,
	opSubscriptionList: slices.Concat(requestKinds, omitKinds, pageKinds),
	opBatchItem:        requestKinds, opAll: requestKinds,
	opNotification: notificationKinds, opLifecycle: notificationKinds,
}

func (f Fault) check() error {
	switch kinds := faultKinds[f.Operation]; {
	case kinds == nil:
		return fmt.Errorf("%w: unknown operation %q", ErrInvalid, f.Operation)
	case !slices.Contains(kinds, f.Kind):
		return fmt.Errorf("%w: kind %q of %s, want one of %s", ErrInvalid, f.Kind, f.Operation, strings.Join(kinds, ", "))
	case f.Probability != nil && (*f.Probability <= 0 || *f.Probability > 1):
		return fmt.Errorf("%w: probability is %v, want above 0, up to 1", ErrInvalid, *f.Probability)
	case f.Times < 0:
		return fmt.Errorf("%w: times is %d, want 0 or more", ErrInvalid, f.Times)
	case f.Status != 0 && (f.Status < 400 || f.Status > 599):
		return fmt.Errorf("%w: status is %d, want 400 to 599", ErrInvalid, f.Status)
	case (f.Kind == "latency" || f.Kind == "delay") && f.Delay <= 0:
		return fmt.Errorf("%w: %s needs a delay above 0", ErrInvalid, f.Kind)
	case slices.Contains(subscriptionKinds, f.Kind) && f.Life <= 0:
		return fmt.Errorf("%w: %s needs a life above 0", ErrInvalid, f.Kind)
	}
	return nil
}

// fire returns the faults of some kinds that happen now to the user during one of the
// operations, in the order in which they were set. It stops at the first fault other than
// latency.
func (s *state) fire(userID string, kinds []string, operations ...string) []Fault {
	var hits []Fault
	for i := range s.faults {
		f := &s.faults[i]
		if f.expired() || !slices.Contains(kinds, f.Kind) || !slices.Contains(operations, f.Operation) ||
			f.userID != "" && f.userID != userID {
			continue
		}
		if f.Probability != nil && s.probability.Float64() >= *f.Probability {
			continue
		}
		f.Hits++
		hits = append(hits, *f)
		if f.Kind != "latency" {
			break
		}
	}
	return hits
}

// SetFault starts a fault and returns it with its id.
func (s *Server) SetFault(f Fault) (Fault, error) {
	if err := f.check(); err != nil {
		return Fault{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f.Hits, f.userID = 0, ""
	if f.User != "" {
		a, err := s.account(f.User)
		if err != nil {
			return Fault{}, err
		}
		f.userID = a.ID
	}
	s.lastFault++
	f.ID = strconv.Itoa(s.lastFault)
	s.faults = append(s.faults, f)
	return f, nil
}

// Faults lists the faults that were set, including expired ones.
func (s *Server) Faults() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Fault{}, s.faults...) // never nil
}

// ClearFaults ends all faults.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// ClearFault ends one fault.
func (s *Server) ClearFault(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.faults)
	s.faults = slices.DeleteFunc(s.faults, func(f Fault) bool { return f.ID == id })
	if len(s.faults) == before {
		return fmt.Errorf("%w fault: %s", errNotFound, id)
	}
	return nil
}

// applyFaults applies the active faults to a call. It returns nil if the call proceeds. The
// caller holds mu, which is released while a fault delays the call.
func (s *Server) applyFaults(c *call, op string) *reply {
	if len(s.faults) == 0 {
		return nil
	}
	scope := opAll
	if c.inner {
		scope = opBatchItem
	}
	for _, f := range s.fire(s.userOf(c, op), requestKinds, op, scope) {
		switch f.Kind {
		case "latency":
			s.unlocked(func() { schedule.Sleep(c.ctx, time.Duration(f.Delay)) })
			if c.ctx.Err() != nil {
				return &reply{reset: true}
			}
		case "hang":
			s.unlocked(func() { <-c.ctx.Done() })
			return &reply{reset: true}
		case "reset":
			return &reply{reset: true}
		case "throttle":
			f.Status, f.RetryAfter = http.StatusTooManyRequests, cmp.Or(f.RetryAfter, Duration(time.Second))
			f.Message = "Too many requests"
			return f.refusal()
		case "status":
			return f.refusal()
		}
	}
	return nil
}

// refusal is the reply of throttle and status.
func (f Fault) refusal() *reply {
	status := cmp.Or(f.Status, http.StatusServiceUnavailable)
	code := cmp.Or(f.Code, statusCodes[status], "generalException")
	message := cmp.Or(f.Message, http.StatusText(status), code)
	if status == http.StatusUnauthorized && f.User != "" && f.Code == "" {
		// The token is valid for other users. The real Graph answers so for single mailboxes.
		code, message = "UnknownError", ""
	}
	rep := fail(status, code, message)
	rep.retryAfter = time.Duration(f.RetryAfter)
	return rep
}

// statusCodes maps statuses to the error codes that Graph usually sends with them.
var statusCodes = map[int]string{
	http.StatusBadRequest:          "BadRequest",
	http.StatusUnauthorized:        invalidToken,
	http.StatusForbidden:           "ErrorAccessDenied",
	http.StatusNotFound:            "ResourceNotFound",
	http.StatusTooManyRequests:     "TooManyRequests",
	http.StatusInternalServerError: "InternalServerError",
	http.StatusBadGateway:          "BadGateway",
	http.StatusServiceUnavailable:  "ServiceUnavailable",
	http.StatusGatewayTimeout:      "GatewayTimeout",
}

// userOf returns the id of the user that a call is about, or "".
func (s *Server) userOf(c *call, op string) string {
	key := ""
	switch op {
	case opRead, opDirectory:
		if len(c.path) > 1 {
			key = c.path[1]
		}
	case opSubscriptionCreate:
		var req struct {
			Resource string `json:"resource"`
		}
		if json.Unmarshal(c.body, &req) == nil {
			t, _ := parseResource(req.Resource)
			key = t.user
		}
	case opSubscriptionGet, opSubscriptionRenew, opSubscriptionDelete, opSubscriptionReauthorize:
		if sub := s.subscription(c.path[1]); sub != nil {
			return sub.UserID
		}
	}
	if a := s.find(key); a != nil {
		return a.ID
	}
	return ""
}
