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
		{"internal/redisstore/record.go", "mark(queues.deliver, key, 0, false, '')\nreturn seq", "return seq"},
		{"internal/redisstore/record.go", "if ARGV[16] ~= '' and take(", "if false and take("},
	}, converges, "SIGTERM"},
	{"the poll sleeps while notifications come", []edit{
		{"cmd/outlook-monitor/service.go", "Graph: s.graph, Interval: settings", "Graph: s.graph, Interval: 100 * settings"},
	}, converges, "Graph does not get its notifications through"},
	{"what failed is repeated beside the queue", []edit{
		{"internal/deliver/deliver.go", "answer := d.cfg.Mediator.SetStatus(ctx, parcel)", `answer := d.cfg.Mediator.SetStatus(ctx, parcel)
	if answer.code/100 != 2 {
		time.AfterFunc(8*time.Second, func() { d.cfg.Mediator.SetStatus(context.WithoutCancel(ctx), parcel) })
	}`},
	}, orders, "the mediator answers 500"},
	{"what a stop leaves with Graph stays there", []edit{
		{"internal/subscribe/plan.go", "return step(Delete, reason)", "return step(Drop, reason)"},
		{"internal/subscribe/sweep.go", "err := w.remove(ctx, id)", "_, _ = w, id\n\t\terr := ctx.Err()"},
	}, covers, "SIGTERM"},
	{"a subscription that was lost without a word is not made anew", []edit{
		{"internal/subscribe/sweep.go", "sub.CreatedAt.Before(", "sub.CreatedAt.After("},
	}, covers, "Graph loses all subscriptions without a word"},
	{"a subscription that nobody recorded is not taken over", []edit{
		{"internal/subscribe/step.go", "if !noted {", "if true || !noted {"},
		{"internal/subscribe/step.go", "if err := w.remove(ctx, twin.ID); err != nil {", "if err := error(twin); err != nil {"},
	}, covers, "kill -9 between POST subscription and record"},
	{"an acknowledged state is brought once more", []edit{
		{"internal/deliver/deliver.go", "answer := d.cfg.Mediator.SetStatus(ctx, parcel)", "d.cfg.Mediator.SetStatus(ctx, parcel)\n\tanswer := d.cfg.Mediator.SetStatus(ctx, parcel)"},
	}, quietly, "SIGTERM"},
	{"who is monitored already starts anew at each sync", []edit{
		{"internal/redisstore/monitor.go", "if not was then\n\tdrop(", "if true then\n\tdrop("},
	}, quietly, "SIGTERM"},
	{"acknowledgements are missing in the history", []edit{
		{"internal/redisstore/delivery.go", "\ttell(ms(now), 'delivered', 'seq', ARGV[3], 'attempt', ARGV[8], 'wid', ARGV[9])\n", ""},
	}, remembers, "SIGTERM"},
	{"overtaken states are missing in the history", []edit{
		{"internal/redisstore/delivery.go", "\t\ttell(ms(now), 'overtaken', 'seq', ms(skipped))\n", "\t\tlocal _ = skipped\n"},
	}, remembers, "the mediator is away"},
	{"Retry-After is not heeded", []edit{
		{"internal/graph/translate.go", "&ooo.Throttled{After: wait,", "&ooo.Throttled{After: 0 * wait,"},
	}, politely, "Graph answers 429"},
	{"mailboxes are read twice in an interval", []edit{
		{"cmd/outlook-monitor/service.go", "Graph: s.graph, Interval: settings.PollInterval", "Graph: s.graph, Interval: settings.PollInterval / 2"},
	}, punctual, ""},
	{"a dead replica's mailboxes wait long", []edit{
		{"internal/watch/watch.go", "lease := min(max(3*cfg.Interval/2, 2*time.Second), 6*time.Second)", "lease := 16 * time.Second"},
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
