package faults_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"outlook-monitor/internal/mediatorsim"
)

// patience is how long it may take until all is quiet.
const patience = 90 * time.Second

// calm is how long nothing may happen before all counts as quiet.
const calm = 5 * time.Second

// await waits until something holds; it says what does not in the end.
func (w *world) await(what string, holds func() bool) bool {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Errorf("never within %v: %s", patience, what)
			w.unsettled()
			return false
		}
	}
	return true
}

// unsettled reports what is not as it should be.
func (w *world) unsettled() {
	w.t.Helper()
	for _, u := range w.people {
		if !w.told(u) {
			mailbox, err := w.sim.AutomaticReplies(u.ID)
			state, _ := w.mediator.State(u.UserPrincipalName)
			w.t.Errorf("user %s: mediator was told %+v, mailbox says %s %s, %v", u.ID, state, mailbox.Status, mailbox.ExternalReplyMessage, err)
		}
	}
	for _, sub := range w.sim.Subscriptions() {
		w.t.Logf("subscription %s of user %s until %v", sub.ID, sub.UserID, sub.ExpirationDateTime)
	}
}

// quiet waits until everything is as it should be and has been for longer than a
// round of reads.
// It returns since when that is so.
func (w *world) quiet() (since time.Time, ok bool) {
	w.t.Helper()
	settled := func() bool { return w.allTold() && w.coveredOnce() && w.recorded() }
	calls := -1
	ok = w.await("all are told, covered once and recorded, and nothing goes on", func() bool {
		n := len(w.mediator.Calls())
		if !settled() || n != calls {
			calls, since = n, time.Now()
			return false
		}
		return time.Since(since) > calm
	})
	return since, ok
}

// userView is what the private API tells of a user.
type userView struct {
	Email, State string
	Delivery     struct{ State string }
}

// recorded says whether the program itself takes everything for delivered.
func (w *world) recorded() bool {
	var list struct{ Users []userView }
	if w.get("/api/users?limit=100", &list) != nil || len(list.Users) != len(w.people) {
		return false
	}
	return !slices.ContainsFunc(list.Users, func(u userView) bool {
		return u.State != "watching" || u.Delivery.State != "delivered"
	})
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

// row is what a cell's run came to.
type row struct {
	name                         string
	made, told, overtaken, twice int
	quiet                        time.Duration
}

const header = "cell                                          changes  told  overtaken  twice  quiet after"

func (r row) String() string {
	return fmt.Sprintf("%-45s %7d %5d %10d %6d %10.1f s", r.name, r.made, r.told, r.overtaken, r.twice, r.quiet.Seconds())
}

// judge checks what must hold and counts.
func (w *world) judge(c cell, r *row) {
	w.t.Helper()
	calls := map[string][]mediatorsim.Call{}
	for _, call := range w.mediator.Calls() {
		calls[call.Email] = append(calls[call.Email], call)
	}
	for _, u := range w.people {
		w.judgeOrder(u.ID, calls[u.UserPrincipalName])
		told, twice := w.judgeRepeats(c, u.ID, calls[u.UserPrincipalName])
		r.told, r.twice = r.told+told, r.twice+twice
		r.overtaken += w.judgeHistory(c, u.ID, u.UserPrincipalName, calls[u.UserPrincipalName])
	}
}

// judgeOrder looks at all attempts, whatever the mediator answered.
func (w *world) judgeOrder(user string, calls []mediatorsim.Call) {
	w.t.Helper()
	newest := 0
	for _, call := range calls {
		number, ok := numberOf(call)
		if ok && number < newest {
			w.t.Errorf("user %s: the mediator was brought change %d after change %d, webhook-id %s", user, number, newest, call.WebhookID)
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
	w.t.Helper()
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
		if again || ok && known && before != call.WebhookID {
			twice++
		}
		switch {
		case again && (c.allowed == nothingTwice || ids[call.WebhookID] > 2):
			w.t.Errorf("user %s: webhook-id %s was acknowledged %d times", user, call.WebhookID, ids[call.WebhookID])
		case ok && known && before != call.WebhookID && c.allowed != allAnew:
			w.t.Errorf("user %s: change %d was told as %s and as %s", user, number, before, call.WebhookID)
		}
	}
	return told, twice
}

// event is an entry of a history.
type event struct {
	Kind      string
	Sequence  int64
	WebhookID string
}

// judgeHistory looks whether each state was delivered or overtaken and each
// acknowledgement noted, and returns how many were overtaken.
func (w *world) judgeHistory(c cell, user, email string, calls []mediatorsim.Call) (overtaken int) {
	w.t.Helper()
	var history struct{ Events []event }
	if err := w.get("/api/users/"+email+"/history?limit=200", &history); err != nil {
		w.t.Errorf("history of user %s: %v", user, err)
		return 0
	}
	ended, noted := map[int64]bool{}, map[string]bool{}
	var states []int64 // newest first
	for _, e := range history.Events {
		switch e.Kind {
		case "delivered":
			ended[e.Sequence], noted[e.WebhookID] = true, true
		case "overtaken":
			ended[e.Sequence] = true
			overtaken++
		case "changed":
			states = append(states, e.Sequence)
		}
	}
	for i, sequence := range states {
		if !ended[sequence] {
			w.t.Errorf("history of user %s: state %d was neither delivered nor overtaken", user, sequence)
		}
		if i > 0 && states[i-1] != sequence+1 {
			w.t.Errorf("history of user %s: state %d follows state %d", user, states[i-1], sequence)
		}
	}
	for _, call := range calls {
		if call.Answered == http.StatusOK && !noted[call.WebhookID] && c.allowed == nothingTwice {
			w.t.Errorf("history of user %s: the acknowledgement of %s is missing", user, call.WebhookID)
		}
	}
	if len(states) == 0 {
		w.t.Errorf("history of user %s tells of no state", user)
	}
	return overtaken
}
