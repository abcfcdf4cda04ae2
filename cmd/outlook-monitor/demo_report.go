package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"outlook-monitor/internal/mediatorsim"
	"outlook-monitor/internal/ooo"
)

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
		changed, _ := d.changed.LoadAndDelete(call.Email) // later deliveries are not about that change
		if at, ok := changed.(time.Time); ok && !at.After(change.At) {
			how = fmt.Sprintf("%s after %s, delivered after %s", seen, round(change.At.Sub(at)), round(call.At.Sub(at)))
		} else {
			how = fmt.Sprintf("%s, delivered %s later", seen, round(call.At.Sub(change.At)))
		}
	}
	name, _, _ := strings.Cut(call.Email, "@")
	d.out.Printf("  %s  %-6s%-44s %s", call.At.Format("15:04:05.000"), name, what, how)
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

// cause returns the change that an acknowledged call reported: the newest one before it, because
// only the newest state is delivered.
func (d *demo) cause(ctx context.Context, call mediatorsim.Call) (ooo.Event, bool) {
	events, _, _ := d.api.history(ctx, call.Email, ooo.HistoryLength)
	for _, e := range events { // newest first
		if (e.Kind == ooo.EventChanged || e.Kind == ooo.EventResend) && !e.At.After(call.At) {
			return e, e.Kind == ooo.EventChanged
		}
	}
	return ooo.Event{}, false
}
