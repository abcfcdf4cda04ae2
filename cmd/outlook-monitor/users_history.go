package main

import (
	"context"
	"fmt"
	"io"
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
