package faults_test

import (
	"net/http"
	"slices"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/mediatorsim"
)

// Faults of Graph, its login endpoint and the mediator.

// graphFault makes Graph misbehave for a while.
func graphFault(short, longer time.Duration, faults ...graphsim.Fault) func(*testbed) {
	return func(tb *testbed) {
		for _, f := range faults {
			tb.sim.SetFault(f)
		}
		hold(short, longer)
		tb.sim.ClearFaults()
	}
}

// mediatorAnswers makes the mediator react to calls in another way for a while.
func mediatorAnswers(r mediatorsim.Reaction) func(*testbed) {
	return func(tb *testbed) {
		tb.mediator.Answer(func(mediatorsim.Call) mediatorsim.Reaction { return r })
		hold(6*time.Second, 15*time.Second)
		tb.mediator.Answer(nil)
	}
}

var graphCells = []cell{
	{name: "Graph answers 503", inject: graphFault(6*time.Second, 20*time.Second,
		graphsim.Fault{Operation: "all", Kind: "status", Status: http.StatusServiceUnavailable})},
	{name: "Graph answers 429", short: true, max429: 40, inject: graphFault(8*time.Second, 20*time.Second,
		graphsim.Fault{Operation: "all", Kind: "throttle", RetryAfter: graphsim.Duration(3 * time.Second)})},
	{name: "Graph answers 429 to parts of batches", inject: graphFault(6*time.Second, 20*time.Second,
		graphsim.Fault{Operation: "batch-item", Kind: "throttle", RetryAfter: graphsim.Duration(2 * time.Second), Probability: new(0.5)})},
	{name: "Graph resets half of the connections", inject: graphFault(6*time.Second, 20*time.Second,
		graphsim.Fault{Operation: "all", Kind: "reset", Probability: new(0.5)})},
	{name: "Graph is 5 s slow", inject: graphFault(8*time.Second, 20*time.Second,
		graphsim.Fault{Operation: "all", Kind: "latency", Delay: graphsim.Duration(5 * time.Second)})},
	{name: "Graph fails half of each batch", inject: graphFault(6*time.Second, 20*time.Second,
		graphsim.Fault{Operation: "batch-item", Kind: "status", Probability: new(0.5)},
		graphsim.Fault{Operation: "read", Kind: "status", Probability: new(0.5)})},
	{name: "logins fail after the token has expired", tokenLifetime: 5 * time.Second, inject: graphFault(10*time.Second, 20*time.Second,
		graphsim.Fault{Operation: "token", Kind: "status"})},
}

var coverCells = []cell{
	{name: "Graph removes all subscriptions", inject: func(tb *testbed) {
		tb.removeSubscriptions(false)
		hold(3*time.Second, 6*time.Second)
	}},
	{name: "Graph silently loses all subscriptions", short: true, inject: func(tb *testbed) {
		tb.removeSubscriptions(true)
		hold(3*time.Second, 6*time.Second)
	}},
	{name: "notifications are lost", inject: graphFault(6*time.Second, 20*time.Second,
		graphsim.Fault{Operation: "notification", Kind: "drop"})},
	{name: "notifications are duplicated and reordered", inject: graphFault(6*time.Second, 20*time.Second,
		graphsim.Fault{Operation: "notification", Kind: "double", Probability: new(0.5)},
		graphsim.Fault{Operation: "notification", Kind: "reorder", Probability: new(0.5)})},
}

var mediatorCells = []cell{
	{name: "the mediator is down", short: true, duplicates: afterLostAnswer, inject: func(tb *testbed) {
		tb.mediator.SetDown(true)
		hold(8*time.Second, 30*time.Second)
		tb.mediator.SetDown(false)
	}},
	{name: "the mediator hangs", inject: mediatorAnswers(mediatorsim.Reaction{Delay: time.Hour})},
	{name: "the mediator answers 403", inject: mediatorAnswers(mediatorsim.Reaction{Status: http.StatusForbidden})},
	{name: "the mediator answers 404", inject: mediatorAnswers(mediatorsim.Reaction{Status: http.StatusNotFound})},
	{name: "the mediator answers 500", inject: mediatorAnswers(mediatorsim.Reaction{Status: http.StatusInternalServerError})},
	{name: "the mediator redirects", inject: mediatorAnswers(mediatorsim.Reaction{Status: http.StatusFound})},
}

var cells = slices.Concat(processCells, redisCells, graphCells, coverCells, mediatorCells, isolationCells)
