package faults_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// mutant is the program with one of its promises broken on purpose.
type mutant struct {
	name   string
	edits  []edit
	breaks promise
	cell   string // where that shows; empty: when three replicas share the work
}

var mutants = []mutant{
	{"a recorded state is not marked for delivery", []edit{
		{"internal/mailbox/draft.go", "d.queue(&d.Addresses[i], ooo.EventChanged, source, hint, now)", `a := &d.Addresses[i]
		d.queue(a, ooo.EventChanged, source, hint, now)
		a.Delivery.Sequence = a.Sequence`},
	}, converges, "SIGTERM"},
	{"the poll sleeps while notifications come", []edit{
		{"cmd/outlook-monitor/wiring.go", "Policy: policy(settings), Interval: settings", "Policy: policy(settings), Interval: 100 * settings"},
	}, converges, "Graph does not get its notifications through"},
	{"memory is not written back into an older Redis", []edit{
		{"internal/mailbox/rollback.go", "{ return r.restore(p) }", "{ return ctx.Err() }"},
	}, converges, "Redis comes back with older data"},
	{"what failed is repeated beside the queue", []edit{
		{"internal/deliver/attempt.go", "	<-d.slots\n	now := time.Now().UTC()\n	r := answer", `	if answer.code/100 != 2 {
		time.AfterFunc(8*time.Second, func() {
			d.cfg.Mediator.SetStatus(context.Background(), Status{Address: t.address.Spelling, State: t.state, WebhookID: t.address.Delivery.WebhookID, Ready: d.ready})
		})
	}
	<-d.slots
	now := time.Now().UTC()
	r := answer`},
	}, orders, "the mediator answers 500"},
	{"what a stop leaves with Graph stays there", []edit{
		{"internal/subscribe/plan.go", "return step(Delete, reason)", "return step(Drop, reason)"},
		{"internal/subscribe/stray.go", "err := j.adoptOrDelete(ctx, h)", "err := ctx.Err()"},
	}, covers, "SIGTERM"},
	{"a subscription that was lost without a word is not made anew", []edit{
		{"internal/subscribe/sweep.go", "sub.RenewedAt.Before(c.began", "sub.RenewedAt.After(c.began"},
	}, covers, "Graph loses all subscriptions without a word"},
	{"a subscription that nobody recorded is not taken over", []edit{
		{"internal/subscribe/step.go", "case j.adoptable(before, duplicate.ID):", "case false:"},
		{"internal/subscribe/step.go", "if err := j.delete(ctx, duplicate.ID); err != nil {", "if err := error(duplicate); err != nil {"},
		{"internal/subscribe/stray.go", "err := j.adoptOrDelete(ctx, h)", "err := ctx.Err()"},
	}, covers, "kill -9 between POST subscription and save"},
	{"what Graph does not list is made anew", []edit{
		{"internal/subscribe/plan.go", "return step(Renew, ExistenceCheck)", "return step(Create, ExistenceCheck)"},
	}, covers, "Graph lists half of its subscriptions"},
	{"an acknowledged state is brought once more", []edit{
		{"internal/deliver/mediator.go", "func (m *Mediator) SetStatus(ctx context.Context, s Status) Answer {", `func (m *Mediator) SetStatus(ctx context.Context, s Status) Answer {
	m.setStatus(ctx, s)
	return m.setStatus(ctx, s)
}

func (m *Mediator) setStatus(ctx context.Context, s Status) Answer {`},
	}, quietly, "SIGTERM"},
	{"who is monitored already starts anew at each sync", []edit{
		{"internal/api/wishes.go", "case by == ooo.Mediator && old.Address != address:", "case by == ooo.Mediator:\n\t\t\tnext.Start = rand.Text()"},
	}, quietly, "SIGTERM"},
	{"acknowledgements are missing in the history", []edit{
		{"internal/deliver/attempt.go", "\t\tdraft.Event(a, event)\n\t\tdelivery.Sequence,", "\t\tdelivery.Sequence,"},
	}, remembers, "SIGTERM"},
	{"overtaken states are missing in the history", []edit{
		{"internal/mailbox/draft.go", "d.Event(a, ooo.Event{At: now, Kind: ooo.EventOvertaken, Sequence: a.Sequence})", "_ = now"},
		{"internal/deliver/attempt.go", "draft.Event(a, ooo.Event{At: now, Kind: ooo.EventOvertaken, Sequence: s})", "_ = now"},
	}, remembers, "the mediator is away"},
	{"Retry-After is not heeded", []edit{
		{"internal/graph/errors.go", "After: cmp.Or(e.retryAfter, unnamedWait)", "After: 0 * cmp.Or(e.retryAfter, unnamedWait)"},
	}, politely, "Graph answers 429"},
	{"one mailbox that hangs is read with others", []edit{
		{"internal/poll/read.go", "timeout = p.calls.timeout()", "timeout = isolatedTimeout"},
		{"internal/poll/concurrency.go", "t.isolated = quickAnswers", "t.isolated = 0"},
	}, punctual, "one mailbox hangs"},
	{"who can't log in keeps its mailboxes", []edit{
		{"internal/partition/shares.go", "unable := !answeredWithin(beats[life], unableTime)", "unable := false && !answeredWithin(beats[life], unableTime)"},
	}, punctual, "one replica can't log in"},
	{"mailboxes are read twice in an interval", []edit{
		{"cmd/outlook-monitor/wiring.go", "Policy: policy(settings), Interval: settings.PollInterval", "Policy: policy(settings), Interval: settings.PollInterval / 2"},
	}, punctual, ""},
	{"a dead replica's mailboxes wait long", []edit{
		{"internal/partition/shares.go", "sightTime = 3 * time.Second", "sightTime = 16 * time.Second"},
	}, punctual, ""},
}

// TestBroken breaks each promise in a build of its own: the suite is worth
// something only if it notices. The short form looks merely whether what the
// edits replace is still there.
func TestBroken(t *testing.T) {
	var mu sync.Mutex
	lines := make([]string, len(mutants))
	t.Run("mutants", func(t *testing.T) {
		for i, m := range mutants {
			t.Run(m.name, func(t *testing.T) {
				if _, err := applied(m.edits); err != nil {
					t.Error(err)
				}
				if form != "broken" {
					return
				}
				t.Parallel()
				caught := m.run(t, fmt.Sprintf("mutant%d", i))
				if !slices.Contains(caught, m.breaks) {
					t.Errorf("the suite noticed %q, want %q", caught, m.breaks)
				}
				mu.Lock()
				defer mu.Unlock()
				lines[i] = fmt.Sprintf("%-62s %-48s %s\n", m.name, orReplicas(m.cell), join(caught))
			})
		}
	})
	if form == "broken" {
		publish(t, fmt.Sprintf("%-62s %-48s %s\n", "broken build", "cell", "what the suite says is not kept")+strings.Join(lines, ""))
	}
}

func orReplicas(cell string) string {
	if cell == "" {
		return "three replicas"
	}
	return cell
}

// run builds the mutant, has it live through its cell and returns the promises
// that were not kept.
func (m mutant) run(t *testing.T, name string) (caught []promise) {
	t.Helper()
	p := threeReplicas()
	i := slices.IndexFunc(cells, func(c cell) bool { return c.name == m.cell })
	if i >= 0 {
		p = cells[i].plan(seed)
	} else if m.cell != "" {
		t.Fatalf("there is no cell %q", m.cell)
	}
	p.program = built(name, func() ([]edit, error) { return m.edits, nil })
	p.patience = 40 * time.Second
	w := build(t, p)
	if i >= 0 {
		w.run(cells[i])
	} else {
		w.shareWork()
	}
	for _, v := range w.violations {
		if !slices.Contains(caught, v.promise) {
			caught = append(caught, v.promise)
		}
	}
	return caught
}

func join(promises []promise) string {
	if len(promises) == 0 {
		return "NOTHING: it survives"
	}
	words := make([]string, len(promises))
	for i, p := range promises {
		words[i] = string(p)
	}
	return strings.Join(words, "; ")
}
