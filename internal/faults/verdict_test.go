package faults_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/mediatorsim"
)

// promise is what must hold whatever happens.
type promise string

const (
	converges promise = "the mediator's last state is the mailbox's"
	orders    promise = "no older state after a newer one"
	covers    promise = "one living subscription for each user, and none left over"
	remembers promise = "the history is complete"
	quietly   promise = "no state is told twice"
	politely  promise = "a wait that Graph asks for is kept"
	punctual  promise = "every mailbox is read once in each interval"
	aimed     promise = "the suite meets the moments that it waits for"
)

// violation is a promise that was not kept.
type violation struct {
	promise promise
	what    string
}

func (w *world) violate(p promise, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violations = append(w.violations, violation{p, fmt.Sprintf(format, args...)})
}

// patience is how long it may take until all is quiet.
const patience = 90 * time.Second

// calm is how long nothing may happen before all counts as quiet.
const calm = 5 * time.Second

// await waits until something holds; otherwise what is not as it should be are
// violations.
func (w *world) await(when string, holds func() bool) bool {
	w.t.Helper()
	for deadline := time.Now().Add(w.patience); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.unsettled(when)
			return false
		}
	}
	return true
}

// settled reports whether everything is as it should be.
func (w *world) settled() bool { return w.allTold() && len(w.uncovered()) == 0 && w.recorded() == nil }

// unsettled notes what is not.
func (w *world) unsettled(when string) {
	w.t.Helper()
	known := len(w.violations)
	for _, u := range w.people {
		if !w.told(u) {
			mailbox, err := w.sim.AutomaticReplies(u.ID)
			state, _ := w.mediator.State(u.UserPrincipalName)
			w.violate(converges, "%s: user %s: after %v the mediator was told %+v, the mailbox says %s %s, %v", when, u.ID, w.patience,
				state, mailbox.Status, mailbox.ExternalReplyMessage, err)
		}
	}
	for _, problem := range w.uncovered() {
		w.violate(covers, "%s: after %v %s", when, w.patience, problem)
	}
	if problem := w.recorded(); problem != nil {
		w.violate(problem.promise, "%s: after %v %s", when, w.patience, problem.what)
	}
	if len(w.violations) == known {
		w.violate(quietly, "%s: within %v the calls did not cease", when, w.patience)
	}
}

// uncovered tells what is wrong with Graph's subscriptions: each user has one
// living, and nobody else has.
func (w *world) uncovered() (problems []string) {
	n := map[string]int{}
	for _, sub := range w.sim.Subscriptions() {
		n[sub.UserID]++
	}
	for _, u := range w.people {
		if n[u.ID] != 1 {
			problems = append(problems, fmt.Sprintf("user %s has %d subscriptions", u.ID, n[u.ID]))
		}
		delete(n, u.ID)
	}
	for id, count := range n {
		problems = append(problems, fmt.Sprintf("%s, who is not monitored, has %d subscriptions", id, count))
	}
	return problems
}

// quiet waits until everything is as it should be and has been for longer than a
// round of reads. It returns since when that is so.
func (w *world) quiet() (since time.Time) {
	w.t.Helper()
	calls := int64(-1)
	w.await("in the end", func() bool {
		n := w.heard.Load()
		if n != calls || !w.settled() {
			calls, since = n, time.Now()
			return false
		}
		return time.Since(since) > calm
	})
	return since
}

// userView is what the private API tells of a user.
type userView struct {
	Email, ID, State string
	CheckedAt        time.Time
	Delivery         struct{ State string }
	Subscriptions    []struct{ ID, State string }
}

// list returns the users as the program sees them.
func (w *world) list() ([]userView, error) {
	var all []userView
	for cursor := ""; ; {
		var page struct {
			Users  []userView
			Cursor string
		}
		if err := w.get("/api/users?limit=500&cursor="+url.QueryEscape(cursor), &page); err != nil {
			return nil, err
		}
		if all = append(all, page.Users...); page.Cursor == "" {
			return all, nil
		}
		cursor = page.Cursor
	}
}

// recorded returns what the program itself does not take for settled; nil if it
// takes everything for told and covered, and by the subscriptions that Graph has.
func (w *world) recorded() *violation {
	users, err := w.list()
	if err != nil || len(users) != len(w.people) {
		return &violation{converges, fmt.Sprintf("the program knows of %d users, want %d: %v", len(users), len(w.people), err)}
	}
	living := map[string]bool{}
	for _, sub := range w.sim.Subscriptions() {
		living[sub.ID] = true
	}
	for _, u := range users {
		switch {
		case u.State != "watching" || u.Delivery.State != "delivered":
			return &violation{converges, fmt.Sprintf("user %s is %s and its state is %s", u.ID, u.State, u.Delivery.State)}
		case len(u.Subscriptions) != 1 || u.Subscriptions[0].State != "live" || !living[u.Subscriptions[0].ID]:
			return &violation{covers, fmt.Sprintf("user %s has by the record %+v", u.ID, u.Subscriptions)}
		}
	}
	return nil
}

// get asks the first replica that answers.
func (w *world) get(path string, into any) (err error) {
	for _, r := range w.replicas {
		var response *http.Response
		if response, err = client.Get("http://" + r.addr + path); err != nil {
			continue
		}
		err = json.NewDecoder(response.Body).Decode(into)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: status %d", path, response.StatusCode)
		}
		if err == nil {
			return nil
		}
	}
	return err
}

// judge checks what must hold and counts.
func (w *world) judge(c cell, r *row) {
	w.t.Helper()
	calls := map[string][]mediatorsim.Call{}
	for _, call := range w.mediator.Calls() {
		calls[call.Email] = append(calls[call.Email], call)
	}
	for _, u := range w.people {
		brought := calls[u.UserPrincipalName]
		w.judgeOrder(u.ID, brought)
		c := c
		if w.started[u.ID] {
			c.allowed = restarted
		}
		told, twice := w.judgeRepeats(c, u.ID, brought)
		r.told, r.twice = r.told+told, r.twice+twice
		r.overtaken += w.judgeHistory(c, u, brought)
	}
	if slices.ContainsFunc(calls[w.left.UserPrincipalName], func(c mediatorsim.Call) bool {
		number, ok := numberOf(c)
		return ok && number == secret
	}) {
		w.violate(covers, "the mediator was told of user %s, who has left", w.left.ID)
	}
	refused, most := w.sim.Stats().Throttled, int64(c.polite)
	if form == "long" { // it lasts as much longer
		most = most * 5 / 2
	}
	if c.polite > 0 && refused > most {
		w.violate(politely, "Graph had to answer 429 %d times, at most %d are needed", refused, most)
	}
}

// judgeOrder looks at all attempts, whatever the mediator answered.
func (w *world) judgeOrder(user string, calls []mediatorsim.Call) {
	newest := 0
	for _, call := range calls {
		number, ok := numberOf(call)
		if ok && number < newest {
			w.violate(orders, "user %s: the mediator was brought change %d after change %d, webhook-id %s", user, number, newest, call.WebhookID)
		}
		newest = max(newest, number)
	}
}

// numberOf is the number of the change that a call brings; one that says that
// somebody is back brings none.
func numberOf(call mediatorsim.Call) (number int, ok bool) {
	if call.Status != "True" {
		return 0, false
	}
	_, err := fmt.Sscanf(call.Message, "Change %d", &number)
	return number, err == nil
}

// judgeRepeats counts the acknowledged states, and among them those that were
// acknowledged before: under the same webhook-id, or with the same number.
func (w *world) judgeRepeats(c cell, user string, calls []mediatorsim.Call) (told, twice int) {
	ids, numbers := map[string]int{}, map[int]string{}
	for _, call := range calls {
		if call.Answered != http.StatusOK {
			continue
		}
		told++
		ids[call.WebhookID]++
		number, ok := numberOf(call)
		before, known := numbers[number]
		numbers[number] = call.WebhookID
		again := ids[call.WebhookID] > 1
		anew := ok && known && before != call.WebhookID
		if again || anew {
			twice++
		}
		switch {
		case again && (c.allowed == nothingTwice || ids[call.WebhookID] > 1+max(w.kills, 1)):
			w.violate(quietly, "user %s: webhook-id %s was acknowledged %d times", user, call.WebhookID, ids[call.WebhookID])
		case anew && c.allowed != restarted:
			w.violate(quietly, "user %s: change %d was told as %s and as %s", user, number, before, call.WebhookID)
		}
	}
	return told, twice
}

// event is an entry of a history.
type event struct {
	At        time.Time
	Kind      string
	Sequence  int64
	WebhookID string
}

// judgeHistory looks whether each state was delivered or overtaken and each
// acknowledgement noted, and returns how many were overtaken.
func (w *world) judgeHistory(c cell, u graphsim.User, calls []mediatorsim.Call) (overtaken int) {
	var history struct{ Events []event }
	if err := w.get("/api/users/"+u.UserPrincipalName+"/history?limit=200", &history); err != nil {
		w.violate(remembers, "user %s: %v", u.ID, err)
		return 0
	}
	var kept time.Time // what was before may have made room
	if n := len(history.Events); n > 190 {
		kept = history.Events[n-1].At
	}
	ended, noted := map[int64]bool{}, map[string]bool{}
	var states []event // newest first
	for _, e := range history.Events {
		switch e.Kind {
		case "delivered":
			ended[e.Sequence], noted[e.WebhookID] = true, true
		case "overtaken":
			ended[e.Sequence] = true
			overtaken++
		case "changed":
			if e.At.After(w.forgot) {
				states = append(states, e)
			}
		}
	}
	for i, s := range states {
		if !ended[s.Sequence] {
			w.violate(remembers, "user %s: state %d of %v was neither delivered nor overtaken", u.ID, s.Sequence, s.At)
		}
		if i > 0 && states[i-1].Sequence != s.Sequence+1 {
			w.violate(remembers, "user %s: state %d of %v follows state %d of %v", u.ID, states[i-1].Sequence, states[i-1].At, s.Sequence, s.At)
		}
	}
	for _, call := range calls {
		if call.Answered == http.StatusOK && !noted[call.WebhookID] && c.allowed == nothingTwice && call.At.After(kept) {
			w.violate(remembers, "user %s: the acknowledgement of %s is missing", u.ID, call.WebhookID)
		}
	}
	if len(states) == 0 && !c.forgets {
		w.violate(remembers, "user %s: there is no state", u.ID)
	}
	return overtaken
}
