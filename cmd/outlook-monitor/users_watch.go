package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"outlook-monitor/internal/schedule"
)

// usersWatchCmd prints changes of users.
type usersWatchCmd struct {
	Email string        `arg:"" optional:"" name:"email" help:"Follow this user only."`
	Every time.Duration `name:"every" default:"1s" help:"How often to ask the service; at least 100ms. A list that takes long is requested less often."`
}

// Run prints all users and then each change, one per line, until ctx ends. Once the service
// has answered, Run retries calls that fail.
func (c *usersWatchCmd) Run(ctx context.Context, out io.Writer, errs stderr, api *usersAPI) error {
	w := watcher{api: api, email: c.Email, out: out, width: len("EMAIL")}
	for failure := ""; ; {
		began := time.Now()
		users, err := w.read(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && w.known == nil:
			return err
		case err != nil && err.Error() != failure:
			failure = err.Error()
			if _, err := fmt.Fprintf(errs, "outlook-monitor: %v; retrying\n", err); err != nil {
				return err
			}
		case err == nil:
			failure = ""
			if err := w.report(users); err != nil {
				return err
			}
		}
		if !schedule.Sleep(ctx, max(c.Every, 100*time.Millisecond, time.Since(began))) {
			return nil
		}
	}
}

// watcher prints changes.
type watcher struct {
	api   *usersAPI
	email string // empty: all users
	out   io.Writer
	known map[string]user // last printed, by address in lower case; nil before the first report
	width int             // of the column of addresses
}

// watched returns the parts of a user whose changes are printed.
func watched(u user) []any {
	uncovered := 0
	for _, sub := range u.Subscriptions {
		if sub.State != "live" {
			uncovered++
		}
	}
	d := u.Delivery
	return []any{u.Email, u.State, u.Reason, outOfOffice(u), message(u), d.State, d.Error, d.Sequence, uncovered}
}

func message(u user) string {
	if u.Setting == nil {
		return ""
	}
	return u.Setting.Message
}

// read returns the users to watch.
func (w *watcher) read(ctx context.Context) ([]user, error) {
	if w.email == "" {
		return w.api.users(ctx)
	}
	u, _, err := w.api.user(ctx, w.email)
	if _, gone := errors.AsType[*unknownUser](err); gone && w.known != nil {
		return nil, nil
	}
	return []user{u}, err
}

// report prints the changes since the last call, or all users if it is the first.
func (w *watcher) report(users []user) error {
	before, now, all := w.known, map[string]user{}, map[string]user{} // all: with those that are no longer monitored
	maps.Copy(all, before)
	for _, u := range users {
		key := strings.ToLower(u.Email)
		now[key], all[key] = u, u
		w.width = max(w.width, min(len([]rune(printable(u.Email))), 48))
	}
	w.known = now
	if before == nil && !w.api.json {
		if err := w.line("TIME", "EVENT", "EMAIL", "STATE", "OUT OF OFFICE", "DELIVERY", ""); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		last, known := before[key]
		_, monitored := now[key]
		event := ""
		switch {
		case before == nil:
			event = "monitored"
		case !known:
			event = "added"
		case !monitored:
			event = "removed"
		case !slices.Equal(watched(last), watched(all[key])):
			event = "changed"
		default:
			continue
		}
		if err := w.print(event, all[key]); err != nil {
			return err
		}
	}
	return nil
}

func (w *watcher) print(event string, u user) error {
	now := time.Now().UTC()
	if w.api.json {
		lines := json.NewEncoder(w.out)
		lines.SetEscapeHTML(false)
		return lines.Encode(struct {
			At    time.Time `json:"at"`
			Event string    `json:"event"`
			User  user      `json:"user"`
		}{now, event, u})
	}
	return w.line(now.Format("15:04:05"), event, u.Email, u.State, outOfOffice(u), u.Delivery.State,
		cmp.Or(u.Delivery.Error, u.Reason, message(u)))
}

// line prints columns of a fixed width.
func (w *watcher) line(at, event, email, state, away, delivery, more string) error {
	text := fmt.Sprintf("%-8s  %-9s  %-*s  %-8s  %-13s  %-9s  %.80s",
		at, event, w.width, printable(email), printable(state), away, printable(delivery), printable(more))
	_, err := fmt.Fprintln(w.out, strings.TrimRight(text, " "))
	return err
}
