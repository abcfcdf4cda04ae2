package graph_test

import (
	"testing"
	"time"

	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
)

func TestCallsAreNotedForWhoWantsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	ids := w.users(2)
	c := w.idleClient(w.config)
	if err := c.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, calls := graph.NoteCalls(t.Context())
	began := time.Now()
	c.Read(ctx, ids, nil)
	c.Read(ctx, ids[:1], nil)
	c.Read(t.Context(), ids[:1], nil) // nobody wants this one
	got := calls.All()
	if len(got) != 2 || got[0].Operation != "batch" || got[1].Operation != "read" {
		t.Fatalf("calls = %+v, want a batch and a read", got)
	}
	for _, call := range got {
		if len(call.ClientRequestID) != 36 || len(call.RequestID) != 36 || call.ClientRequestID == call.RequestID || call.Status != 200 {
			t.Errorf("call = %+v, want both ids and 200", call)
		}
		if call.Began.Before(began) || call.Ended.Before(call.Began) {
			t.Errorf("call = %v to %v, want it after %v", call.Began, call.Ended, began)
		}
	}
}
