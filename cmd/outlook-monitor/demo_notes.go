package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"outlook-monitor/internal/mediatorsim"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// notes are what the demo prints, and when it changed whose setting.
type notes struct {
	mu      sync.Mutex
	out     io.Writer            // guarded by mu
	changed map[string]time.Time // by address: the last change; guarded by mu
}

func (n *notes) say(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintf(n.out, format+"\n", args...)
}

// change notes that the user's setting is changed now.
func (n *notes) change(email string, at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.changed == nil {
		n.changed = map[string]time.Time{}
	}
	n.changed[email] = at
}

// since returns the last change of the user's setting, and forgets it: a later
// line is about something else.
func (n *notes) since(email string) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := n.changed[email]
	delete(n.changed, email)
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

// print prints who, what, what it was seen by, and how long that took.
func (d *demo) print(ctx context.Context, call mediatorsim.Call) {
	what := "is in the office"
	if call.Status == "True" {
		what = fmt.Sprintf("is out of office: %q", call.Message)
	}
	how := ""
	if change, ok := d.cause(ctx, call); ok {
		seen := sources[change.Source]
		if at := d.notes.since(call.Email); !at.IsZero() && !at.After(change.At) {
			how = fmt.Sprintf("%s after %s, delivered after %s", seen, rounded(change.At.Sub(at)), rounded(call.At.Sub(at)))
		} else {
			how = fmt.Sprintf("%s, delivered %s later", seen, rounded(call.At.Sub(change.At)))
		}
	}
	name, _, _ := strings.Cut(call.Email, "@")
	d.notes.say("  %s  %-6s%-44s %s", call.At.Format("15:04:05.000"), name, what, how)
}

// sources say what the service saw a change by.
var sources = map[ooo.Source]string{
	ooo.SourceNotification: "seen by notification",
	ooo.SourcePoll:         "seen by the 2 s poll",
	ooo.SourceWindow:       "by the clock",
	ooo.SourceRequest:      "on request",
	ooo.SourceSubscription: "seen by the read after subscribing",
}

func rounded(d time.Duration) string {
	return max(d, time.Millisecond).Round(time.Millisecond).String()
}

// cause finds in the history what led to an acknowledged call.
func (d *demo) cause(ctx context.Context, call mediatorsim.Call) (ooo.Event, bool) {
	for range 100 {
		events, err := d.history(ctx, call.Email)
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
		if !schedule.Sleep(ctx, 10*time.Millisecond) { // the answer may not be recorded yet
			break
		}
	}
	return ooo.Event{}, false
}

// history asks the service what it did for a user, newest first.
func (d *demo) history(ctx context.Context, email string) ([]ooo.Event, error) {
	var answer struct {
		Events []ooo.Event `json:"events"`
	}
	err := d.get(ctx, "/api/users/"+url.PathEscape(email)+"/history", &answer)
	return answer.Events, err
}

// get asks the service.
func (d *demo) get(ctx context.Context, path string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.base+path, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", path, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(answer)
}
