package faults_test

import (
	"net/http"
	"slices"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/mediatorsim"
)

// What befalls Graph, its login endpoint and the mediator.

// graph is a fault of Graph's that lasts.
func graph(short, longer time.Duration, faults ...graphsim.Fault) func(*world) {
	return func(w *world) {
		for _, f := range faults {
			w.fault(f)
		}
		last(short, longer)
		w.sim.ClearFaults()
	}
}

// answers is a mediator that answers otherwise for a while.
func answers(r mediatorsim.Reaction) func(*world) {
	return func(w *world) {
		w.mediator.Answer(func(mediatorsim.Call) mediatorsim.Reaction { return r })
		last(6*time.Second, 15*time.Second)
		w.mediator.Answer(nil)
	}
}

var graphCells = []cell{
	{name: "Graph answers 503", apply: graph(6*time.Second, 20*time.Second,
		graphsim.Fault{Operation: "all", Kind: "status", Status: http.StatusServiceUnavailable})},
	{name: "Graph answers 429", short: true, polite: 40, apply: graph(8*time.Second, 20*time.Second,
		graphsim.Fault{Operation: "all", Kind: "throttle", RetryAfter: graphsim.Duration(3 * time.Second)})},
	{name: "Graph answers 429 to parts of batches", apply: graph(6*time.Second, 20*time.Second,
		graphsim.Fault{Operation: "batch-item", Kind: "throttle", RetryAfter: graphsim.Duration(2 * time.Second), Probability: 0.5})},
	{name: "Graph cuts every other connection", apply: graph(6*time.Second, 20*time.Second,
		graphsim.Fault{Operation: "all", Kind: "reset", Probability: 0.5})},
	{name: "Graph is 5 s slow", apply: graph(8*time.Second, 20*time.Second,
		graphsim.Fault{Operation: "all", Kind: "latency", Delay: graphsim.Duration(5 * time.Second)})},
	{name: "half of each batch fails", apply: graph(6*time.Second, 20*time.Second,
		graphsim.Fault{Operation: "batch-item", Kind: "status", Probability: 0.5},
		graphsim.Fault{Operation: "read", Kind: "status", Probability: 0.5})},
	{name: "no login past the token's expiry", tokens: 5 * time.Second, apply: graph(10*time.Second, 20*time.Second,
		graphsim.Fault{Operation: "token", Kind: "status"})},
}

var coverCells = []cell{
	{name: "Graph takes all subscriptions away", apply: func(w *world) {
		w.uncover(false)
		last(3*time.Second, 6*time.Second)
	}},
	{name: "Graph loses all subscriptions without a word", short: true, apply: func(w *world) {
		w.uncover(true)
		last(3*time.Second, 6*time.Second)
	}},
	{name: "Graph does not get its notifications through", apply: graph(6*time.Second, 20*time.Second,
		graphsim.Fault{Operation: "notification", Kind: "drop"})},
	{name: "Graph doubles and reorders notifications", apply: graph(6*time.Second, 20*time.Second,
		graphsim.Fault{Operation: "notification", Kind: "double", Probability: 0.5},
		graphsim.Fault{Operation: "notification", Kind: "reorder", Probability: 0.5})},
}

var mediatorCells = []cell{
	{name: "the mediator is away", short: true, allowed: unanswered, apply: func(w *world) {
		w.mediator.Away(true)
		last(8*time.Second, 30*time.Second)
		w.mediator.Away(false)
	}},
	{name: "the mediator hangs", apply: answers(mediatorsim.Reaction{Delay: time.Hour})},
	{name: "the mediator answers 403", apply: answers(mediatorsim.Reaction{Status: http.StatusForbidden})},
	{name: "the mediator answers 404", apply: answers(mediatorsim.Reaction{Status: http.StatusNotFound})},
	{name: "the mediator answers 500", apply: answers(mediatorsim.Reaction{Status: http.StatusInternalServerError})},
	{name: "the mediator redirects", apply: answers(mediatorsim.Reaction{Status: http.StatusFound})},
}

var cells = slices.Concat(processCells, redisCells, graphCells, coverCells, mediatorCells, singleCells)
