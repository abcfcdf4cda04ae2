package graphsim

import (
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

const (
	batchRequests = 20 // in one $batch
	batchWorkers  = 4  // of one batch run at a time
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

// batchAnswer is the answer to one of them.
type batchAnswer struct {
	id    string
	reply reply
}

// batch is POST /$batch.
func (s *Server) batch(c *call) reply {
	left, err := readBatch(c.body)
	if err != nil {
		return badRequest("Invalid batch payload format.")
	}
	if bad := checkBatch(left); bad != "" {
		return badRequest(bad)
	}
	answers := make([]batchAnswer, 0, len(left))
	status := make(map[string]int)
	for len(left) > 0 {
		ready, rest := splitReady(left, status)
		if len(ready) == 0 {
			return badRequest("dependsOn names a request that doesn't exist, or depends on itself.")
		}
		done := s.runBatch(c, ready, status)
		if len(rest) > 0 || len(status) > 0 {
			for _, a := range done {
				status[a.id] = a.reply.status
			}
		}
		answers, left = append(answers, done...), rest
	}
	// The order of the answers promises nothing.
	rand.Shuffle(len(answers), func(i, j int) { answers[i], answers[j] = answers[j], answers[i] })
	return reply{status: http.StatusOK, body: writeBatch(answers, c.header("Client-Request-Id"))}
}

func readBatch(body []byte) ([]batchItem, error) {
	if items, ok := plainBatch(body); ok {
		return items, nil
	}
	var ask struct {
		Requests []batchItem `json:"requests"`
	}
	err := json.Unmarshal(body, &ask)
	return ask.Requests, err
}

// checkBatch returns what is wrong with a batch as a whole.
func checkBatch(items []batchItem) string {
	switch {
	case len(items) == 0:
		return "The batch has no requests."
	case len(items) > batchRequests:
		return fmt.Sprintf("Number of batch request steps exceeds the maximum value of %d.", batchRequests)
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
		}
		hasType := false
		for name := range item.Headers {
			hasType = hasType || strings.EqualFold(name, "Content-Type")
		}
		if len(item.Body) > 0 && !hasType {
			return "A request in a batch that has a body must have a Content-Type header."
		}
	}
	return ""
}

// splitReady parts the items whose dependencies are answered from the others.
func splitReady(items []batchItem, status map[string]int) (ready, rest []batchItem) {
	if !slices.ContainsFunc(items, func(i batchItem) bool { return len(i.DependsOn) > 0 }) {
		return items, nil
	}
	for _, item := range items {
		if slices.ContainsFunc(item.DependsOn, func(id string) bool { return status[id] == 0 }) {
			rest = append(rest, item)
		} else {
			ready = append(ready, item)
		}
	}
	return ready, rest
}

// runBatch answers items, batchWorkers at a time. Where there are no faults, and no
// writes that call somebody, there is nothing to wait for, and one after the other
// is the same and cheaper.
func (s *Server) runBatch(c *call, items []batchItem, status map[string]int) []batchAnswer {
	answers := make([]batchAnswer, len(items))
	run := func(i int) {
		item := &items[i]
		answers[i].id = item.ID
		if slices.ContainsFunc(item.DependsOn, func(id string) bool { return status[id] >= 300 }) {
			answers[i].reply = fail(http.StatusFailedDependency, "FailedDependency", "Failed dependency")
			return
		}
		answers[i].reply = s.batchItem(c, item)
	}
	writes := func(i batchItem) bool { return i.Method != http.MethodGet }
	if s.faults.noneInside() && !slices.ContainsFunc(items, writes) {
		for i := range items {
			run(i)
		}
		return answers
	}
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(batchWorkers, len(items)) {
		wg.Go(func() {
			for i := range next {
				run(i)
			}
		})
	}
	for i := range items {
		next <- i
	}
	close(next)
	wg.Wait()
	return answers
}

func (i *batchItem) header(name string) string {
	for n, v := range i.Headers {
		if strings.EqualFold(n, name) {
			return v
		}
	}
	return ""
}

// batchItem answers one request of a batch.
func (s *Server) batchItem(outer *call, item *batchItem) reply {
	path, query, _ := strings.Cut(item.URL, "?")
	segments, ok := splitPath(path)
	if !ok {
		return badRequest("The request URI is malformed.")
	}
	c := &call{
		ctx: outer.ctx, method: strings.ToUpper(item.Method), path: segments, query: query,
		body: item.Body, grant: outer.grant, inner: true, header: item.header,
	}
	r := routeOf(c)
	rep, refused := s.overQuota(r, time.Now())
	if !refused {
		rep = s.answer(c, r)
	}
	if rep.reset { // an inner request has no connection of its own to lose
		rep = fail(http.StatusBadGateway, "BadGateway", "The connection was lost.")
	}
	s.stats.call(r.op, rep)
	return rep
}

// writeBatch spells the answers. It is written by hand because most of it is
// ready JSON.
func writeBatch(answers []batchAnswer, client string) []byte {
	size := 32
	for _, a := range answers {
		size += len(a.reply.body) + 160
	}
	out := make([]byte, 0, size)
	out = append(out, `{"responses":[`...)
	for i, a := range answers {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, `{"id":`...)
		out = appendJSONString(out, a.id)
		out = append(out, `,"status":`...)
		out = strconv.AppendInt(out, int64(a.reply.status), 10)
		out = append(out, `,"headers":{"Content-Type":"application/json"`...)
		if a.reply.retryAfter > 0 {
			out = append(out, `,"Retry-After":"`...)
			out = append(out, seconds(a.reply.retryAfter)...)
			out = append(out, '"')
		}
		out = append(out, '}')
		body := a.reply.body
		if a.reply.fail != nil {
			body = a.reply.content(requestID(), client)
		}
		if len(body) > 0 {
			out = append(out, `,"body":`...)
			out = append(out, body...)
		}
		out = append(out, '}')
	}
	return append(out, "]}"...)
}

func appendJSONString(out []byte, s string) []byte {
	if !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }) {
		return append(append(append(out, '"'), s...), '"')
	}
	quoted, err := json.Marshal(s)
	if err != nil {
		return append(out, `""`...)
	}
	return append(out, quoted...)
}
