package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
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
	known map[string]watched // last printed, by address in lower case; nil before the first report
	width int                // of the column of addresses
}

// summary is the part of a user whose changes are printed.
type summary struct {
	Email, State, Reason, Away, Delivery, Error string
	Sequence                                    int64
	Message                                     string
	Uncovered                                   int // subscriptions that are not live
}

// watched is a user.
type watched struct {
	summary
	raw json.RawMessage
}

// read returns the users by address in lower case.
func (w *watcher) read(ctx context.Context) (map[string]watched, error) {
	all, err := w.get(ctx)
	if err != nil {
		return nil, err
	}
	read := map[string]watched{}
	for _, raw := range all {
		s, err := w.summarize(raw)
		if err != nil {
			return nil, err
		}
		read[strings.ToLower(s.Email)] = watched{s, raw}
	}
	return read, nil
}

func (w *watcher) get(ctx context.Context) ([]json.RawMessage, error) {
	if w.email == "" {
		return w.api.users(ctx)
	}
	_, body, err := w.api.call(ctx, http.MethodGet, w.email, "", nil, nil)
	if _, gone := errors.AsType[*unknownUser](err); gone && w.known != nil {
		return nil, nil
	}
	return []json.RawMessage{body}, err
}

func (w *watcher) summarize(raw json.RawMessage) (summary, error) {
	u, err := w.api.decode(raw)
	if err != nil {
		return summary{}, err
	}
	s := summary{
		Email: u.Email, State: u.State, Reason: u.Reason, Away: outOfOffice(u),
		Delivery: u.Delivery.State, Error: u.Delivery.Error, Sequence: u.Delivery.Sequence,
	}
	if u.Setting != nil {
		s.Message = u.Setting.Message
	}
	for _, sub := range u.Subscriptions {
		if sub.State != "live" {
			s.Uncovered++
		}
	}
	return s, nil
}

// report prints the changes since the last call, or all users if it is the first.
func (w *watcher) report(users map[string]watched) error {
	before, all := w.known, map[string]watched{} // all also has those that are no longer monitored
	maps.Copy(all, before)
	maps.Copy(all, users)
	w.known = users
	for _, u := range users {
		w.width = max(w.width, min(len([]rune(printable(u.Email))), 48))
	}
	if before == nil && !w.api.json {
		if err := w.line("TIME", "EVENT", "EMAIL", "STATE", "OUT OF OFFICE", "DELIVERY", ""); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		last, known := before[key]
		_, monitored := users[key]
		event := ""
		switch {
		case before == nil:
			event = "monitored"
		case !known:
			event = "added"
		case !monitored:
			event = "removed"
		case last.summary != all[key].summary:
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

func (w *watcher) print(event string, u watched) error {
	now := time.Now().UTC()
	if w.api.json {
		lines := json.NewEncoder(w.out)
		lines.SetEscapeHTML(false)
		return lines.Encode(struct {
			At    time.Time       `json:"at"`
			Event string          `json:"event"`
			User  json.RawMessage `json:"user"`
		}{now, event, u.raw})
	}
	return w.line(now.Format("15:04:05"), event, u.Email, u.State, u.Away, u.Delivery, cmp.Or(u.Error, u.Reason, u.Message))
}

// line prints columns of a fixed width.
func (w *watcher) line(at, event, email, state, away, delivery, more string) error {
	text := fmt.Sprintf("%-8s  %-9s  %-*s  %-8s  %-13s  %-9s  %.80s",
		at, event, w.width, printable(email), printable(state), away, printable(delivery), printable(more))
	_, err := fmt.Fprintln(w.out, strings.TrimRight(text, " "))
	return err
}
