package graph

import (
	"context"
	"sync"
	"time"
)

// Call is one request to Graph, as Microsoft's support would look it up.
type Call struct {
	Operation       string
	Status          int    // HTTP status; 0: no answer
	ClientRequestID string // ours
	RequestID       string // Graph's; empty without an answer
	Began, Ended    time.Time
}

// Calls collects the requests that are made with one context. Spans are made of them
// afterwards, if what they led to is worth a trace.
type Calls struct {
	mu  sync.Mutex
	all []Call // guarded by mu
}

type callsKey struct{}

// NoteCalls returns a context whose requests to Graph are collected.
func NoteCalls(ctx context.Context) (context.Context, *Calls) {
	calls := &Calls{}
	return context.WithValue(ctx, callsKey{}, calls), calls
}

// note collects a request, if ctx wants that.
func note(ctx context.Context, call Call) {
	if calls, ok := ctx.Value(callsKey{}).(*Calls); ok {
		calls.mu.Lock()
		defer calls.mu.Unlock()
		calls.all = append(calls.all, call)
	}
}

// All returns the requests so far, in the order in which they ended.
func (c *Calls) All() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[:len(c.all):len(c.all)]
}
