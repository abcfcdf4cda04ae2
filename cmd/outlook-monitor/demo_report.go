package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"outlook-monitor/internal/mediatorsim"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// demoOutput prints what the demo does, and remembers when it changed settings.
type demoOutput struct {
	mu      sync.Mutex
	w       io.Writer            // guarded by mu
	changed map[string]time.Time // time of the last change by address; guarded by mu
}

func (o *demoOutput) printf(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fmt.Fprintf(o.w, format+"\n", args...)
}

// setChanged records the time of a change of the user's setting.
func (o *demoOutput) setChanged(email string, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.changed[email] = at
}

// takeChanged returns the time of the last change of the user's setting, and deletes it, because
// later deliveries are not about that change.
func (o *demoOutput) takeChanged(email string) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := o.changed[email]
	delete(o.changed, email)
	return at
}

// report prints a line for each state that the mediator acknowledged.
func (d *demo) report(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case call := <-d.calls:
			if call.Answered == http.StatusOK {
				d.print(ctx, call)
			}
		}
	}
}

// print prints the state, how the change was detected, and how long that took.
func (d *demo) print(ctx context.Context, call mediatorsim.Call) {
	what := "is in the office"
	if call.Status == "True" {
		what = fmt.Sprintf("is out of office: %q", call.Message)
	}
	how := ""
	if change, ok := d.cause(ctx, call); ok {
		seen := sourceTexts[change.Source]
		if at := d.out.takeChanged(call.Email); !at.IsZero() && !at.After(change.At) {
			how = fmt.Sprintf("%s after %s, delivered after %s", seen, round(change.At.Sub(at)), round(call.At.Sub(at)))
		} else {
			how = fmt.Sprintf("%s, delivered %s later", seen, round(call.At.Sub(change.At)))
		}
	}
	name, _, _ := strings.Cut(call.Email, "@")
	d.out.printf("  %s  %-6s%-44s %s", call.At.Format("15:04:05.000"), name, what, how)
}

// sourceTexts say how the service detected a change.
var sourceTexts = map[ooo.Source]string{
	ooo.SourceNotification: "seen by notification",
	ooo.SourcePoll:         "seen by the 2 s poll",
	ooo.SourceWindow:       "by the clock",
	ooo.SourceRequest:      "on request",
	ooo.SourceSubscription: "seen by the read after subscribing",
}

func round(d time.Duration) string {
	return max(d, time.Millisecond).Round(time.Millisecond).String()
}

// cause returns the change in the history that led to an acknowledged call.
func (d *demo) cause(ctx context.Context, call mediatorsim.Call) (ooo.Event, bool) {
	for range 100 {
		events, _, err := d.api.history(ctx, call.Email, ooo.HistoryLength)
		if err != nil {
			return ooo.Event{}, false
		}
		for _, e := range events {
			if e.Kind != ooo.EventDelivered || e.WebhookID != call.WebhookID {
				continue
			}
			for _, c := range events {
				if c.Kind == ooo.EventChanged && c.Sequence == e.Sequence {
					return c, true
				}
			}
		}
		if !schedule.Sleep(ctx, 10*time.Millisecond) { // the response may not be recorded yet
			break
		}
	}
	return ooo.Event{}, false
}
