package graph

import (
	"context"
	"sync"
	"time"
)

// Call is a call of Graph, as Microsoft's support would look it up.
type Call struct {
	Operation       string
	Status          int    // HTTP status; 0: no answer
	ClientRequestID string // ours
	RequestID       string // Graph's; empty without an answer
	Began, Ended    time.Time
}

// Calls collects the calls of Graph that are made with one context. Spans are made
// of them afterwards, if what they led to is worth a trace.
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

// callsOf returns where calls with ctx are collected; nil: nowhere.
func callsOf(ctx context.Context) *Calls {
	calls, _ := ctx.Value(callsKey{}).(*Calls)
	return calls
}

func (c *Calls) add(call Call) {
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
