package graphsim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

const (
	maxBatchRequests = 20 // in one $batch
	batchConcurrency = 4  // requests of one batch in flight
)

// batchItem is one request of a $batch.
type batchItem struct {
	ID        string            `json:"id"`
	Method    string            `json:"method"`
	URL       string            `json:"url"`
	Headers   map[string]string `json:"headers"`
	Body      json.RawMessage   `json:"body"`
	DependsOn []string          `json:"dependsOn"`
}

func (i batchItem) header(name string) string {
	for n, v := range i.Headers {
		if strings.EqualFold(n, name) {
			return v
		}
	}
	return ""
}

// batchAnswer is the answer to a batchItem.
type batchAnswer struct {
	ID      string            `json:"id"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    any               `json:"body,omitempty"`
}

// batch is POST /$batch. A request runs once the requests it depends on are answered.
func (s *Server) batch(c *call) *reply {
	if c.inner {
		return badRequest("A batch can't be nested in a batch.")
	}
	var req struct {
		Requests []batchItem `json:"requests"`
	}
	if json.Unmarshal(c.body, &req) != nil {
		return badRequest("Invalid batch payload format.")
	}
	if refusal := checkBatch(req.Requests); refusal != "" {
		return badRequest(refusal)
	}
	answers := make([]batchAnswer, 0, len(req.Requests))
	statuses := make(map[string]int, len(req.Requests))
	for left := req.Requests; len(left) > 0; {
		var ready, waiting []batchItem
		for _, item := range left {
			if slices.ContainsFunc(item.DependsOn, func(id string) bool { return statuses[id] == 0 }) {
				waiting = append(waiting, item)
			} else {
				ready = append(ready, item)
			}
		}
		if len(ready) == 0 {
			return badRequest("dependsOn names a request that doesn't exist, or depends on itself.")
		}
		var done []batchAnswer
		s.unlocked(func() { done = s.runBatch(c, ready, statuses) })
		for _, a := range done {
			statuses[a.ID] = a.Status
		}
		answers, left = append(answers, done...), waiting
	}
	// Graph does not guarantee any order.
	rand.Shuffle(len(answers), func(i, j int) { answers[i], answers[j] = answers[j], answers[i] })
	return respond(http.StatusOK, map[string]any{"responses": answers})
}

// checkBatch returns why a batch is refused as a whole, or "".
func checkBatch(items []batchItem) string {
	switch {
	case len(items) == 0:
		return "The batch has no requests."
	case len(items) > maxBatchRequests:
		return fmt.Sprintf("Number of batch request steps exceeds the maximum value of %d.", maxBatchRequests)
	}
	for i, item := range items {
		switch {
		case item.ID == "":
			return "Every request in a batch must have an id."
		case slices.ContainsFunc(items[:i], func(o batchItem) bool { return o.ID == item.ID }):
			return "Request Id '" + item.ID + "' is used more than once in the batch."
		case item.Method == "" || item.URL == "":
			return "Every request in a batch must have a method and a url."
		case strings.Contains(item.URL, "://"):
			return "The url of a request in a batch must be relative."
		case len(item.Body) > 0 && item.header("Content-Type") == "":
			return "A request in a batch that has a body must have a Content-Type header."
		}
	}
	return ""
}

// runBatch answers items. statuses holds the statuses of earlier requests by id.
func (s *Server) runBatch(c *call, items []batchItem, statuses map[string]int) []batchAnswer {
	answers := make([]batchAnswer, len(items))
	var g errgroup.Group
	g.SetLimit(batchConcurrency)
	for i, item := range items {
		g.Go(func() error {
			rep := fail(http.StatusFailedDependency, "FailedDependency", "Failed dependency")
			if !slices.ContainsFunc(item.DependsOn, func(id string) bool { return statuses[id] >= 300 }) {
				rep = s.doItem(c, item)
			}
			headers := map[string]string{"Content-Type": "application/json"}
			if rep.retryAfter > 0 {
				headers["Retry-After"] = seconds(rep.retryAfter)
			}
			answers[i] = batchAnswer{item.ID, rep.status, headers, rep.content(requestID(), c.header("Client-Request-Id"))}
			return nil
		})
	}
	_ = g.Wait() // always nil
	return answers
}

// doItem answers one request of a batch.
func (s *Server) doItem(outer *call, item batchItem) *reply {
	c := &call{
		ctx: outer.ctx, method: strings.ToUpper(item.Method), header: item.header,
		body: item.Body, inner: true,
	}
	rep := s.do(c, c.readTarget(item.URL))
	if rep.reset { // only the batch has a connection to reset
		return fail(http.StatusBadGateway, "BadGateway", "The connection was lost.")
	}
	return rep
}
