package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"outlook-monitor/internal/schedule"
)

// usersWatchCmd follows what the service knows, until it is stopped.
type usersWatchCmd struct {
	Email string        `arg:"" optional:"" name:"email" help:"Follow this user only."`
	Every time.Duration `name:"every" default:"1s" help:"How often to ask the service; at least 100ms. A list that takes long is requested less often."`
}

// Run prints everybody once, and then each change, a line each. What stops it is
// Ctrl-C; a service that goes away later is waited for.
func (c *usersWatchCmd) Run(ctx context.Context, out io.Writer, errs stderr, api *usersAPI) error {
	w := watching{api: api, email: c.Email, out: out, known: map[string]summary{}, width: len("EMAIL")}
	for away, first := false, true; ; first = false {
		began := time.Now()
		seen, err := w.read(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err
		case err != nil && !away:
			away = true
			if _, err := fmt.Fprintf(errs, "outlook-monitor: %v; retrying\n", err); err != nil {
				return err
			}
		case err == nil:
			away = false
			if err := w.report(seen, first); err != nil {
				return err
			}
		}
		if !schedule.Sleep(ctx, max(c.Every, 100*time.Millisecond, time.Since(began))) {
			return nil
		}
	}
}

// watching is what was printed so far.
type watching struct {
	api   *usersAPI
	email string // empty: everybody
	out   io.Writer
	known map[string]summary // by address
	width int                // of the column of addresses
}

// summary is what of a user is worth a line when it changes.
type summary struct {
	Email, State, Reason, Away, Delivery, Error string
	Sequence                                    int64
	Message                                     string
	Uncovered                                   int // subscriptions that do not live

	raw json.RawMessage
}

// what is all but the text it was read from.
func (g summary) what() string { g.raw = nil; return fmt.Sprintf("%q", fmt.Sprint(g)) }

// read asks for everybody, by address.
func (w *watching) read(ctx context.Context) (map[string]summary, error) {
	seen := map[string]summary{}
	take := func(users []json.RawMessage) error {
		for _, raw := range users {
			g, err := summaryOf(raw)
			if err != nil {
				return errNotOurs(w.api.base)
			}
			seen[strings.ToLower(g.Email)] = g
		}
		return nil
	}
	if w.email == "" {
		return seen, w.api.pages(ctx, take)
	}
	_, body, err := w.api.call(ctx, http.MethodGet, w.email, "", nil, nil)
	if _, gone := errors.AsType[*unknownUser](err); gone && len(w.known) > 0 {
		return seen, nil
	}
	if err != nil {
		return nil, err
	}
	return seen, take([]json.RawMessage{body})
}

func summaryOf(raw json.RawMessage) (summary, error) {
	var u struct {
		userView
		Delivery struct {
			State    string `json:"state"`
			Sequence int64  `json:"sequence"`
			Error    string `json:"error"`
		} `json:"delivery"`
	}
	if err := json.Unmarshal(raw, &u); err != nil || u.Email == "" {
		return summary{}, errors.New("no user")
	}
	g := summary{
		Email: u.Email, State: u.State, Reason: u.Reason, Away: u.away(),
		Delivery: u.Delivery.State, Error: u.Delivery.Error, Sequence: u.Delivery.Sequence, raw: raw,
	}
	if u.Setting != nil {
		g.Message = u.Setting.Message
	}
	for _, s := range u.Subscriptions {
		if s.State != "live" {
			g.Uncovered++
		}
	}
	return g, nil
}

// report prints what is new since the last time; first means everybody.
func (w *watching) report(seen map[string]summary, first bool) error {
	var lines []change
	for key, g := range seen {
		before, known := w.known[key]
		switch {
		case first:
			lines = append(lines, change{"monitored", g})
		case !known:
			lines = append(lines, change{"added", g})
		case before.what() != g.what():
			lines = append(lines, change{"changed", g})
		}
		w.width = max(w.width, min(len([]rune(clean(g.Email))), 48))
	}
	for key, g := range w.known {
		if _, still := seen[key]; !still {
			lines = append(lines, change{"removed", g})
		}
	}
	slices.SortFunc(lines, func(a, b change) int { return cmp.Compare(a.user.Email, b.user.Email) })
	w.known = seen
	if first && !w.api.json {
		if err := w.line("TIME", "EVENT", "EMAIL", "STATE", "OUT OF OFFICE", "DELIVERY", ""); err != nil {
			return err
		}
	}
	for _, l := range lines {
		if err := w.print(l); err != nil {
			return err
		}
	}
	return nil
}

// change is a line.
type change struct {
	event string // monitored, added, changed or removed
	user  summary
}

func (w *watching) print(c change) error {
	now := time.Now().UTC()
	if w.api.json {
		lines := json.NewEncoder(w.out)
		lines.SetEscapeHTML(false)
		return lines.Encode(struct {
			At    time.Time       `json:"at"`
			Event string          `json:"event"`
			User  json.RawMessage `json:"user"`
		}{now, c.event, c.user.raw})
	}
	u := c.user
	return w.line(now.Format("15:04:05"), c.event, u.Email, u.State, u.Away, u.Delivery, cmp.Or(u.Error, u.Reason, u.Message))
}

// line prints columns of a fixed width, so that the next line fits below.
func (w *watching) line(at, event, email, state, away, delivery, more string) error {
	text := fmt.Sprintf("%-8s  %-9s  %-*s  %-8s  %-13s  %-9s  %.80s", at, event, w.width, clean(email), clean(state), away, clean(delivery), clean(more))
	_, err := fmt.Fprintln(w.out, strings.TrimRight(text, " "))
	return err
}
