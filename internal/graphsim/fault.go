package graphsim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
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

	Probability float64  `json:"probability,omitempty"` // up to 1; 0: not given, which means 1
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
	case f.Probability < 0 || f.Probability > 1:
		return fmt.Errorf("%w: probability is %v, want above 0, up to 1", ErrInvalid, f.Probability)
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

// faultSet holds the faults that were set.
type faultSet struct {
	mu     sync.Mutex
	random *rand.Rand // guarded by mu
	faults []Fault    // guarded by mu
	lastID int        // guarded by mu
}

func newFaultSet(seed uint64) *faultSet {
	return &faultSet{random: rand.New(rand.NewPCG(seed, 4))}
}

func (s *faultSet) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.faults) == 0
}

// fire returns the faults of some kinds that happen now to the user during one of the
// operations, in the order in which they were set. It stops at the first fault other than
// latency.
func (s *faultSet) fire(userID string, kinds []string, operations ...string) []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hits []Fault
	for i := range s.faults {
		f := &s.faults[i]
		if f.expired() || !slices.Contains(kinds, f.Kind) || !slices.Contains(operations, f.Operation) ||
			f.userID != "" && f.userID != userID {
			continue
		}
		if f.Probability > 0 && s.random.Float64() >= f.Probability {
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
	f.Hits, f.userID = 0, ""
	if f.User != "" {
		a, err := s.account(f.User)
		if err != nil {
			return Fault{}, err
		}
		f.userID = a.ID
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.lastID++
	f.ID = strconv.Itoa(s.faults.lastID)
	s.faults.faults = append(s.faults.faults, f)
	return f, nil
}

// Faults lists the faults that were set, including expired ones.
func (s *Server) Faults() []Fault {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	return append([]Fault{}, s.faults.faults...) // never nil
}

// ClearFaults ends all faults.
func (s *Server) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.faults = nil
}

// ClearFault ends one fault. It ignores an unknown id.
func (s *Server) ClearFault(id string) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.faults = slices.DeleteFunc(s.faults.faults, func(f Fault) bool { return f.ID == id })
}

// applyFaults applies the active faults to a call. It returns nil if the call proceeds.
func (s *Server) applyFaults(c *call, op string) *reply {
	if s.faults.empty() {
		return nil
	}
	scope := opAll
	if c.inner {
		scope = opBatchItem
	}
	for _, f := range s.faults.fire(s.userOf(c, op), requestKinds, op, scope) {
		switch f.Kind {
		case "latency":
			if !sleep(c.ctx, time.Duration(f.Delay)) {
				return &reply{reset: true}
			}
		case "hang":
			<-c.ctx.Done()
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
		sub, _ := s.subs.get(c.path[1])
		return sub.UserID
	}
	if a := s.accounts.find(key); a != nil {
		return a.ID
	}
	return ""
}
