package ooo

import (
	"context"
	"sync"
	"time"
)

// Tracer makes spans: what was done for one change, from the notification or the
// poll that noticed it to the mediator's answer. Who has none asks for none, and
// pays nothing.
type Tracer interface {
	// Begin begins a span that began at the given time. It belongs to parent, a
	// W3C traceparent; if that is empty, to the span of ctx; if there is none, it
	// begins a trace.
	Begin(ctx context.Context, name, parent string, at time.Time) (context.Context, Span)
}

// Span is a piece of work in a trace. What is noted of it must tell no secret, no
// address and no message text.
type Span interface {
	Traceparent() string // of this span, for those who go on with its trace
	Note(name string, value any)
	End(at time.Time, err error)
}

// Call is a call of Graph, as Microsoft's support would look it up.
type Call struct {
	Operation       string
	Status          int    // HTTP status; 0: no answer
	ClientRequestID string // ours
	RequestID       string // Graph's; empty without an answer
	Began, Ended    time.Time
}

// Calls collects the calls of Graph that are made with one context.
type Calls struct {
	mu  sync.Mutex
	all []Call // guarded by mu
}

type callsKey struct{}

// NoteCalls returns a context whose calls of Graph are collected.
func NoteCalls(ctx context.Context) (context.Context, *Calls) {
	calls := &Calls{}
	return context.WithValue(ctx, callsKey{}, calls), calls
}

// CallsOf returns where calls with ctx are collected; nil: nowhere.
func CallsOf(ctx context.Context) *Calls {
	calls, _ := ctx.Value(callsKey{}).(*Calls)
	return calls
}

// Add collects a call.
func (c *Calls) Add(call Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, call)
}

// All returns the calls so far, in the order in which they ended.
func (c *Calls) All() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[:len(c.all):len(c.all)]
}
