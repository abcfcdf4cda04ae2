package graphsim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Duration is a time.Duration that is spelled "1.5s" in JSON.
type Duration time.Duration

// MarshalText spells d.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// Fault is something that goes wrong on purpose.
type Fault struct {
	ID string `json:"id"` // given by SetFault

	// Operation is what is disturbed: one of the operations that Stats counts,
	// batch-item (any request inside a $batch), notification, lifecycle, or all
	// (every request, those inside a $batch not).
	Operation string `json:"operation"`

	// Kind is what happens. To requests: latency (for Delay), throttle (429, with
	// RetryAfter), status (with Status and Code), reset, hang. To subscriptions as
	// they are made or renewed: short-life (Graph returns the shorter Life),
	// early-expiry (they die after Life, whatever Graph returned). To the list of
	// subscriptions: omit (one is missing), empty (a page is, with a link to the rest),
	// repeat (the link of a page leads to that page). To notifications: drop, double, delay (for Delay), forge (one more item, with a
	// wrong clientState), reorder (the next one overtakes it).
	Kind string `json:"kind"`

	Probability float64  `json:"probability,omitempty"` // 0 to 1; 0 stands for 1
	Times       int      `json:"times,omitempty"`       // how often it happens before it is over; 0: without end
	User        string   `json:"user,omitempty"`        // id, UPN or mail; empty: everybody
	Status      int      `json:"status,omitempty"`      // default 503
	Code        string   `json:"code,omitempty"`        // Graph's error code; a fitting one by default
	Message     string   `json:"message,omitempty"`     // status: Graph's message; that of the status by default
	RetryAfter  Duration `json:"retryAfter,omitzero"`   // throttle: default 1s; negative: none is sent
	Delay       Duration `json:"delay,omitzero"`
	Life        Duration `json:"life,omitzero"`

	Hits int `json:"hits"` // how often it has happened
}

// operation names beyond those of requests.
const (
	batchItemFault    = "batch-item"
	notificationFault = "notification"
	lifecycleFault    = "lifecycle"
	allFault          = "all"
)

var (
	requestKinds      = []string{"latency", "throttle", "status", "reset", "hang"}
	subscriptionKinds = []string{"short-life", "early-expiry"}
	omitKinds         = []string{"omit"}
	pageKinds         = []string{"empty", "repeat"}
	notificationKinds = []string{"drop", "double", "delay", "forge", "reorder"}
)

func (f Fault) check() error {
	var kinds []string
	switch f.Operation {
	case notificationFault, lifecycleFault:
		kinds = notificationKinds
	case opSubscriptionCreate.String(), opSubscriptionRenew.String():
		kinds = slices.Concat(requestKinds, subscriptionKinds)
	case opSubscriptionList.String():
		kinds = slices.Concat(requestKinds, omitKinds, pageKinds)
	case batchItemFault, allFault:
		kinds = requestKinds
	default:
		if !slices.Contains(operationNames[:], f.Operation) {
			return fmt.Errorf("%w: operation %q, want one of %s, %s, %s, %s, %s", ErrInvalid, f.Operation,
				strings.Join(operationNames[:], ", "), batchItemFault, notificationFault, lifecycleFault, allFault)
		}
		kinds = requestKinds
	}
	switch {
	case !slices.Contains(kinds, f.Kind):
		return fmt.Errorf("%w: kind %q of %s, want one of %s", ErrInvalid, f.Kind, f.Operation, strings.Join(kinds, ", "))
	case f.Probability < 0 || f.Probability > 1:
		return fmt.Errorf("%w: probability is %v, want 0 to 1", ErrInvalid, f.Probability)
	case f.Times < 0:
		return fmt.Errorf("%w: times is %d, want 0 or more", ErrInvalid, f.Times)
	case f.Status != 0 && (f.Status < 400 || f.Status > 599):
		return fmt.Errorf("%w: status is %d, want 400 to 599", ErrInvalid, f.Status)
	case f.Delay < 0 || (f.Kind == "latency" || f.Kind == "delay") && f.Delay == 0:
		return fmt.Errorf("%w: %s needs a delay above 0", ErrInvalid, f.Kind)
	case slices.Contains(subscriptionKinds, f.Kind) && f.Life <= 0:
		return fmt.Errorf("%w: %s needs a life above 0", ErrInvalid, f.Kind)
	}
	return nil
}

// liveFault is a fault that is set, with its user looked up.
type liveFault struct {
	Fault
	userID string
	left   int // how often it may still happen; -1: without end
}

// faultBoard holds the faults that are set.
type faultBoard struct {
	// Faults that can still happen, and those of them that can happen to requests
	// inside a $batch: the read path looks no further at 0.
	count, inside atomic.Int32

	mu     sync.Mutex
	seed   uint64
	random *rand.Rand   // guarded by mu
	faults []*liveFault // guarded by mu
	made   int          // guarded by mu
}

func newFaultBoard(seed uint64) *faultBoard {
	return &faultBoard{seed: seed, random: rand.New(rand.NewPCG(seed, 4))}
}

// none says that nothing can go wrong; noneInside, that nothing can inside a $batch.
func (b *faultBoard) none() bool       { return b.count.Load() == 0 }
func (b *faultBoard) noneInside() bool { return b.inside.Load() == 0 }

// counted adds n, 1 or -1, for a fault of an operation.
func (b *faultBoard) counted(operation string, n int32) {
	b.count.Add(n)
	switch operation {
	case allFault, opBatch.String(), opToken.String(), notificationFault, lifecycleFault:
	default:
		b.inside.Add(n)
	}
}

// fire returns the faults among kinds that happen now to the user during one of
// the operations, in the order in which they were set. It ends with the first
// that isn't mere latency.
func (b *faultBoard) fire(userID string, kinds []string, operations ...string) []Fault {
	if b.none() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var hits []Fault
	for _, f := range b.faults {
		if f.left == 0 || !slices.Contains(kinds, f.Kind) || !slices.Contains(operations, f.Operation) ||
			f.userID != "" && f.userID != userID {
			continue
		}
		if f.Probability > 0 && b.random.Float64() >= f.Probability {
			continue
		}
		f.Hits++
		if f.left > 0 {
			if f.left--; f.left == 0 {
				b.counted(f.Operation, -1)
			}
		}
		hits = append(hits, f.Fault)
		if f.Kind != "latency" {
			break
		}
	}
	return hits
}

// SetFault makes something go wrong from now on, and returns it with its id.
func (s *Server) SetFault(f Fault) (Fault, error) {
	if err := f.check(); err != nil {
		return Fault{}, err
	}
	live := &liveFault{Fault: f, left: cmp.Or(f.Times, -1)}
	live.Hits = 0
	if f.User != "" {
		a, err := s.account(f.User)
		if err != nil {
			return Fault{}, err
		}
		live.userID = a.ID
	}
	b := s.faults
	b.mu.Lock()
	defer b.mu.Unlock()
	b.made++
	live.ID = strconv.Itoa(b.made)
	b.faults = append(b.faults, live)
	b.counted(live.Operation, 1)
	return live.Fault, nil
}

// Faults lists the faults that were set, those that are over too.
func (s *Server) Faults() []Fault {
	b := s.faults
	b.mu.Lock()
	defer b.mu.Unlock()
	faults := make([]Fault, len(b.faults))
	for i, f := range b.faults {
		faults[i] = f.Fault
	}
	return faults
}

// ClearFaults ends all faults.
func (s *Server) ClearFaults() {
	b := s.faults
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = nil
	b.count.Store(0)
	b.inside.Store(0)
}

// ClearFault ends one fault; one that isn't there is no error.
func (s *Server) ClearFault(id string) {
	b := s.faults
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = slices.DeleteFunc(b.faults, func(f *liveFault) bool {
		if f.ID == id && f.left != 0 {
			b.counted(f.Operation, -1)
		}
		return f.ID == id
	})
}
