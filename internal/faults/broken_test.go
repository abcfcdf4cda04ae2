package faults_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// mutant is a build of the program that breaks a promise.
type mutant struct {
	name    string
	edits   []edit
	promise promise // that it must violate; empty: any, because the timing decides
	cell    string  // the cell that must detect it; empty: the steps of TestReplicas
}

var mutants = []mutant{
	{"a recorded state is not marked for delivery", []edit{
		{"internal/mailbox/draft.go", "d.queue(&d.Addresses[i], ooo.EventChanged, source, hint, now)", `a := &d.Addresses[i]
		d.queue(a, ooo.EventChanged, source, hint, now)
		a.Delivery.Sequence = a.Sequence`},
	}, convergence, "SIGTERM"},
	{"the poll interval is 100 times as long", []edit{
		{"cmd/outlook-monitor/wiring.go", "Policy: policy(settings), Interval: settings", "Policy: policy(settings), Interval: 100 * settings"},
	}, convergence, "notifications are lost"},
	{"an owner does not restore an older Redis", []edit{
		{"internal/mailbox/rollback.go", "{ return r.restore(p) }", "{ return ctx.Err() }"},
	}, "", "Redis comes back with older data"},
	{"a failed delivery is repeated outside the queue", []edit{
		{"internal/deliver/attempt.go", "	<-d.slots\n	now :=", `	if answer.code/100 != 2 {
		time.AfterFunc(8*time.Second, func() {
			d.cfg.Mediator.SetStatus(context.Background(), Status{Address: t.address.Spelling, State: t.state, WebhookID: t.address.Delivery.WebhookID, Ready: d.ready})
		})
	}
	<-d.slots
	now :=`},
	}, ordering, "the mediator answers 500"},
	{"a stop does not delete the subscription", []edit{
		{"internal/subscribe/plan.go", "return step(Delete, reason)", "return step(Drop, reason)"},
		{"internal/subscribe/stray.go", "err := j.delete(ctx, j.step.Subscription.ID)", "err := ctx.Err()"},
	}, coverage, "SIGTERM"},
	{"a silently lost subscription is not created again", []edit{
		{"internal/subscribe/sweep.go", "sub.RenewedAt.Before(c.began", "sub.RenewedAt.After(c.began"},
	}, coverage, "Graph silently loses all subscriptions"},
	{"an unrecorded subscription is deleted neither by a creation nor after a sweep", []edit{
		{"internal/subscribe/job.go", "if err := j.delete(ctx, duplicate.ID); err != nil {", "if err := error(duplicate); err != nil {"},
		{"internal/subscribe/stray.go", "Step{Action: Delete, Reason: Unrecorded", "Step{Action: Nothing, Reason: Unrecorded"},
	}, coverage, "kill -9 between POST subscription and save"},
	{"a subscription that Graph does not list is created again", []edit{
		{"internal/subscribe/plan.go", "return step(Renew, ExistenceCheck)", "return step(Create, ExistenceCheck)"},
	}, coverage, "Graph lists half of its subscriptions"},
	{"an acknowledged state is delivered again", []edit{
		{"internal/deliver/mediator.go", "func (m *Mediator) SetStatus(ctx context.Context, s Status) Answer {", `func (m *Mediator) SetStatus(ctx context.Context, s Status) Answer {
	m.setStatus(ctx, s)
	return m.setStatus(ctx, s)
}

func (m *Mediator) setStatus(ctx context.Context, s Status) Answer {`},
	}, noRepeats, "SIGTERM"},
	{"each sync restarts monitored users", []edit{
		{"internal/api/wishes.go", "case by == ooo.Mediator && old.Address != address:", "case by == ooo.Mediator:\n\t\t\tnext.StartID = rand.Text()"},
	}, noRepeats, "SIGTERM"},
	{"the history lacks acknowledgements", []edit{
		{"internal/deliver/attempt.go", "\t\tevent(ooo.EventDelivered)\n\t\tdelivery.Sequence,", "\t\tdelivery.Sequence,"},
	}, history, "SIGTERM"},
	{"the history lacks overtaken states", []edit{
		{"internal/mailbox/draft.go", "d.Event(a, ooo.Event{At: now, Kind: ooo.EventOvertaken, Sequence: a.Sequence})", "_ = now"},
		{"internal/deliver/attempt.go", "draft.Event(a, ooo.Event{At: now, Kind: ooo.EventOvertaken, Sequence: s})", "_ = now"},
	}, history, "the mediator is down"},
	{"Retry-After is ignored", []edit{
		{"internal/graph/errors.go", "After: cmp.Or(e.retryAfter, defaultWait)", "After: 0 * cmp.Or(e.retryAfter, defaultWait)"},
	}, load, "Graph answers 429"},
	{"a hanging mailbox is read in batches", []edit{
		{"internal/poll/isolate.go", "return min(max(callTimeout, 4*p.round, 2*p.round*rounds(len(jobs))), isolatedTimeout)", "return isolatedTimeout"},
		{"internal/poll/isolate.go", "t.isolated = min(t.isolated+1, quickAnswers)", "t.isolated = 0"},
		{"internal/poll/isolate.go", "t.isolated = quickAnswers", "t.isolated = 0"},
	}, polling, "one mailbox hangs"},
	{"a replica that can't log in keeps its mailboxes", []edit{
		{"internal/partition/shares.go", "unable := !answeredWithin(beats[life], unableTime)", "unable := false && !answeredWithin(beats[life], unableTime)"},
	}, polling, "one replica can't log in"},
	{"mailboxes are read twice per interval", []edit{
		{"cmd/outlook-monitor/wiring.go", "Policy: policy(settings), Interval: settings.PollInterval", "Policy: policy(settings), Interval: settings.PollInterval / 2"},
	}, polling, ""},
	{"a dead replica is detected after 16 s", []edit{
		{"internal/partition/times.go", "deadAfter = 3 * time.Second", "deadAfter = 16 * time.Second"},
	}, polling, ""},
}

// TestBroken checks that the suite detects each mutant. The short form only checks that
// the edits still apply.
func TestBroken(t *testing.T) {
	var mu sync.Mutex
	lines := make([]string, len(mutants))
	t.Run("mutants", func(t *testing.T) {
		for i, m := range mutants {
			t.Run(m.name, func(t *testing.T) {
				if _, err := applyEdits(m.edits); err != nil {
					t.Error(err)
				}
				if form != "broken" {
					return
				}
				t.Parallel()
				violated := m.run(t, fmt.Sprintf("mutant%d", i))
				if !slices.Contains(violated, m.promise) && (m.promise != "" || len(violated) == 0) {
					t.Errorf("violated promises = %q, want %q", violated, m.promise)
				}
				mu.Lock()
				defer mu.Unlock()
				lines[i] = fmt.Sprintf("%-62s %-48s %q\n", m.name, cmp.Or(m.cell, "three replicas"), violated)
			})
		}
	})
	if form == "broken" {
		fmt.Printf("%-62s %-48s %s\n%s\n", "mutant", "cell", "violated promises", strings.Join(lines, ""))
	}
}

// run builds the mutant, runs its cell and returns the violated promises.
func (m mutant) run(t *testing.T, name string) (violated []promise) {
	t.Helper()
	p := threeReplicas("replicas")
	i := slices.IndexFunc(cells, func(c cell) bool { return c.name == m.cell })
	if i >= 0 {
		p = config{cell: cells[i], seed: seed}
	} else if m.cell != "" {
		t.Fatalf("cell %q does not exist", m.cell)
	}
	p.program = buildWith(name, m.edits...)
	p.settleTimeout = 40 * time.Second
	tb := newTestbed(t, p)
	if i >= 0 {
		tb.run()
	} else {
		tb.runSteps()
	}
	for _, v := range tb.violations {
		t.Logf("%s: %s", v.promise, v.what) // shown if the mutant is not detected
		if !slices.Contains(violated, v.promise) {
			violated = append(violated, v.promise)
		}
	}
	return violated
}
