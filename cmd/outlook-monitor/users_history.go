package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"outlook-monitor/internal/ooo"
)

type usersHistoryCmd struct {
	userArg
	Limit int `name:"limit" default:"20" help:"Maximum number of entries, up to 200."`
}

// Run prints what happened to one user, newest first.
func (c *usersHistoryCmd) Run(ctx context.Context, out io.Writer, api *usersAPI) error {
	events, body, err := api.history(ctx, c.Email, c.Limit)
	if err != nil {
		return err
	}
	if api.json {
		return api.printJSON(out, body)
	}
	table := newTable(out)
	table.row("WHEN", "WHAT", "SOURCE", "DETAIL")
	for _, e := range events {
		table.row(formatTime(&e.At), string(e.Kind), string(e.Source), details(e))
	}
	return table.Flush()
}

// history returns the newest events of a user, newest first, and the JSON that they are from.
func (a *usersAPI) history(ctx context.Context, email string, limit int) (events []ooo.Event, body []byte, err error) {
	_, body, err = a.call(ctx, http.MethodGet, email, "/history", url.Values{"limit": {strconv.Itoa(limit)}}, nil)
	if err != nil {
		return nil, nil, err
	}
	var history struct {
		Events *[]ooo.Event `json:"events"`
	}
	if json.Unmarshal(body, &history) != nil || history.Events == nil {
		return nil, nil, errNotService(a.base)
	}
	return *history.Events, body, nil
}

// details describes the rest of an event.
func details(e ooo.Event) string {
	var parts []string
	if e.Away != nil {
		parts = append(parts, map[bool]string{true: "out of office", false: "in the office"}[*e.Away])
	}
	if e.Sequence > 0 {
		parts = append(parts, fmt.Sprintf("sequence %d", e.Sequence))
	}
	if e.Attempt > 1 {
		parts = append(parts, fmt.Sprintf("attempt %d", e.Attempt))
	}
	if e.Detail != "" {
		parts = append(parts, e.Detail)
	}
	return strings.Join(parts, ", ")
}

// truncate shortens a reason for a table.
func truncate(reason string) string {
	const maxLength = 60
	text := []rune(reason)
	if len(text) <= maxLength {
		return reason
	}
	return strings.TrimRight(string(text[:maxLength-1]), " ,:") + "…"
}
