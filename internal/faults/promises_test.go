package faults_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/mediatorsim"
)

// promise is a guarantee that must hold whatever happens.
type promise string

const (
	convergence promise = "the mediator's last state matches the mailbox"
	ordering    promise = "no older state follows a newer one"
	coverage    promise = "each user has one live subscription, and no other exists"
	history     promise = "the history is complete"
	noRepeats   promise = "no state is delivered twice"
	load        promise = "Graph and the mediator get no more calls than they allow"
	polling     promise = "every mailbox is read once per interval"
	targeting   promise = "faults hit their targets"
)

// violation is a broken promise.
type violation struct {
	promise promise
	what    string
}

func (tb *testbed) violate(p promise, format string, args ...any) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.violations = append(tb.violations, violation{p, fmt.Sprintf(format, args...)})
}

// settleTimeout is how long the testbed may take to settle.
const settleTimeout = 90 * time.Second

// quietTime is how long the testbed must stay settled without calls of the mediator.
const quietTime = 5 * time.Second

// await waits until a condition holds. At the timeout it reports violations and returns
// false.
func (tb *testbed) await(when string, condition func() bool) bool {
	tb.t.Helper()
	for deadline := time.Now().Add(tb.settleTimeout); !condition(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.reportUnsettled(when)
			return false
		}
	}
	return true
}

// settled reports whether all states are delivered and all subscriptions live and recorded.
func (tb *testbed) settled() bool { return len(tb.problems()) == 0 }

// reportUnsettled adds a violation for each thing that is not settled.
func (tb *testbed) reportUnsettled(when string) {
	problems := tb.problems()
	for _, p := range problems {
		tb.violate(p.promise, "%s: after %v %s", when, tb.settleTimeout, p.what)
	}
	if len(problems) == 0 {
		tb.violate(noRepeats, "%s: the calls did not stop within %v", when, tb.settleTimeout)
	}
}

// problems lists what is not settled. It asks the program only once the mediator and
// Graph have what they should.
func (tb *testbed) problems() (all []violation) {
	for _, u := range tb.monitored {
		mailbox, err := tb.sim.AutomaticReplies(u.ID)
		state, ok := tb.mediator.State(u.UserPrincipalName)
		away := mailbox.Status == "alwaysEnabled"
		if err != nil || !ok || (state.Status == "True") != away || away && strings.Trim(mailbox.ExternalReplyMessage, "<p/>") != state.Message {
			all = append(all, violation{convergence, fmt.Sprintf("user %s: the mediator has %+v, the mailbox %s %s, %v",
				u.ID, state, mailbox.Status, mailbox.ExternalReplyMessage, err)})
		}
	}
	for _, problem := range tb.subscriptionProblems() {
		all = append(all, violation{coverage, problem})
	}
	if len(all) > 0 {
		return all
	}
	return tb.recordProblems()
}

// subscriptionProblems lists users without exactly one subscription in Graph, and
// subscriptions of users who are not monitored.
func (tb *testbed) subscriptionProblems() (problems []string) {
	n := tb.sim.Covered()
	for _, u := range tb.monitored {
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

// awaitQuiet waits until the testbed has been settled for quietTime, which is longer than
// a round of reads. It returns the time since when it is settled.
func (tb *testbed) awaitQuiet() (since time.Time) {
	tb.t.Helper()
	calls := int64(-1)
	tb.await("at the end", func() bool {
		n := tb.answered.Load()
		if n != calls || !tb.settled() {
			calls, since = n, time.Now()
			return false
		}
		return time.Since(since) > quietTime
	})
	return since
}

// userView is a user in the private API.
type userView struct {
	Email, ID, State string
	CheckedAt        time.Time
	Delivery         struct{ State string }
	Subscriptions    []struct{ ID, State string }
}

// list returns all users of the private API.
func (tb *testbed) list() ([]userView, error) {
	var all []userView
	for cursor := ""; ; {
		var page struct {
			Users  []userView
			Cursor string
		}
		if err := tb.get("/api/users?limit=500&cursor="+url.QueryEscape(cursor), &page); err != nil {
			return nil, err
		}
		if all = append(all, page.Users...); page.Cursor == "" {
			return all, nil
		}
		cursor = page.Cursor
	}
}

// recordProblems lists the users that the program does not report as delivered and
// subscribed, with a subscription that exists in Graph.
func (tb *testbed) recordProblems() (all []violation) {
	users, err := tb.list()
	if err != nil || len(users) != len(tb.monitored) {
		return []violation{{convergence, fmt.Sprintf("the program lists %d users, want %d: %v", len(users), len(tb.monitored), err)}}
	}
	live := map[string]bool{}
	for _, sub := range tb.sim.Subscriptions() {
		live[sub.ID] = true
	}
	for _, u := range users {
		switch {
		case u.State != "watching" || u.Delivery.State != "delivered":
			all = append(all, violation{convergence, fmt.Sprintf("user %s is %s and the delivery %s", u.ID, u.State, u.Delivery.State)})
		case len(u.Subscriptions) != 1 || u.Subscriptions[0].State != "live" || !live[u.Subscriptions[0].ID]:
			all = append(all, violation{coverage, fmt.Sprintf("user %s has recorded subscriptions %+v", u.ID, u.Subscriptions)})
		}
	}
	return all
}

// get decodes the answer of the first replica that answers 200.
func (tb *testbed) get(path string, into any) (err error) {
	for _, r := range tb.replicas {
		status, body := r.get(path)
		if err = json.Unmarshal([]byte(body), into); err == nil && status == http.StatusOK {
			return nil
		}
		err = fmt.Errorf("%s = %d %.200s", path, status, body)
	}
	return err
}

// verify checks the promises and adds up the counts for the table.
func (tb *testbed) verify(r *row) {
	tb.t.Helper()
	calls := map[string][]mediatorsim.Call{}
	for _, call := range tb.mediator.Calls() {
		calls[call.Email] = append(calls[call.Email], call)
	}
	for _, u := range tb.monitored {
		received := calls[u.UserPrincipalName]
		tb.verifyOrder(u.ID, received)
		allowed := tb.duplicates
		if tb.restarted[u.ID] {
			allowed = afterRestart
		}
		acknowledged, repeated := tb.verifyDuplicates(allowed, u.ID, received)
		r.acknowledged, r.duplicates = r.acknowledged+acknowledged, r.duplicates+repeated
		r.overtaken += tb.verifyHistory(allowed, u, received)
	}
	if slices.ContainsFunc(calls[tb.leaver.UserPrincipalName], func(c mediatorsim.Call) bool {
		number, ok := changeNumber(c)
		return ok && number == leaverChange
	}) {
		tb.violate(coverage, "the mediator received a state of user %s after its monitoring was stopped", tb.leaver.ID)
	}
	throttled, most := tb.sim.Stats().Throttled, int64(tb.max429)
	if form == "long" { // in proportion to the fault's length
		most = most * 5 / 2
	}
	if tb.max429 > 0 && throttled > most {
		tb.violate(load, "Graph answered 429 %d times, want at most %d", throttled, most)
	}
}

// verifyOrder checks all attempts, whatever the mediator answered.
func (tb *testbed) verifyOrder(user string, calls []mediatorsim.Call) {
	newest := 0
	for _, call := range calls {
		number, ok := changeNumber(call)
		if ok && number < newest {
			tb.violate(ordering, "user %s: the mediator received change %d after change %d, webhook-id %s", user, number, newest, call.WebhookID)
		}
		newest = max(newest, number)
	}
}

// changeNumber returns the number of the change that a call delivers. Calls for users who
// are in the office have none.
func changeNumber(call mediatorsim.Call) (number int, ok bool) {
	if call.Status != "True" {
		return 0, false
	}
	_, err := fmt.Sscanf(call.Message, "Change %d", &number)
	return number, err == nil
}

// verifyDuplicates counts the acknowledged states and, among them, those that had been
// acknowledged before under the same webhook-id or with the same change number.
func (tb *testbed) verifyDuplicates(allowed duplicates, user string, calls []mediatorsim.Call) (acknowledged, repeated int) {
	ids, numbers := map[string]int{}, map[int]string{}
	for _, call := range calls {
		if call.Answered != http.StatusOK {
			continue
		}
		acknowledged++
		ids[call.WebhookID]++
		number, ok := changeNumber(call)
		before, known := numbers[number]
		numbers[number] = call.WebhookID
		sameID := ids[call.WebhookID] > 1
		otherID := ok && known && before != call.WebhookID
		if sameID || otherID {
			repeated++
		}
		switch {
		case sameID && (allowed == noDuplicates || ids[call.WebhookID] > 1+max(tb.kills, 1)):
			tb.violate(noRepeats, "user %s: webhook-id %s was acknowledged %d times", user, call.WebhookID, ids[call.WebhookID])
		case otherID && allowed != afterRestart:
			tb.violate(noRepeats, "user %s: change %d was delivered as %s and as %s", user, number, before, call.WebhookID)
		}
	}
	return acknowledged, repeated
}

// event is an entry of a history.
type event struct {
	At        time.Time
	Kind      string
	Sequence  int64
	WebhookID string
}

// verifyHistory checks that each state was delivered or overtaken and each
// acknowledgement recorded. It returns the number of overtaken states.
func (tb *testbed) verifyHistory(allowed duplicates, u graphsim.User, calls []mediatorsim.Call) (overtaken int) {
	var page struct{ Events []event }
	if err := tb.get("/api/users/"+u.UserPrincipalName+"/history?limit=200", &page); err != nil {
		tb.violate(history, "user %s: %v", u.ID, err)
		return 0
	}
	var kept time.Time // earlier events may have been trimmed
	if n := len(page.Events); n > 190 {
		kept = page.Events[n-1].At
	}
	ended, recorded := map[int64]bool{}, map[string]bool{}
	var states []event // newest first
	for _, e := range page.Events {
		switch e.Kind {
		case "delivered":
			ended[e.Sequence], recorded[e.WebhookID] = true, true
		case "overtaken":
			ended[e.Sequence] = true
			overtaken++
		case "changed":
			if e.At.After(tb.historyLostAt) {
				states = append(states, e)
			}
		}
	}
	for i, s := range states {
		if !ended[s.Sequence] {
			tb.violate(history, "user %s: state %d of %v was neither delivered nor overtaken", u.ID, s.Sequence, s.At)
		}
		if i > 0 && states[i-1].Sequence != s.Sequence+1 {
			tb.violate(history, "user %s: state %d of %v follows state %d of %v", u.ID, states[i-1].Sequence, states[i-1].At, s.Sequence, s.At)
		}
	}
	for _, call := range calls {
		if call.Answered == http.StatusOK && !recorded[call.WebhookID] && allowed == noDuplicates && call.At.After(kept) {
			tb.violate(history, "user %s: the acknowledgement of %s is missing", u.ID, call.WebhookID)
		}
	}
	if len(states) == 0 && !tb.losesHistory {
		tb.violate(history, "user %s: the history has no state", u.ID)
	}
	return overtaken
}
