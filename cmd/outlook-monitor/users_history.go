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
	_, body, err := api.call(ctx, http.MethodGet, c.Email, "/history", url.Values{"limit": {strconv.Itoa(c.Limit)}}, nil)
	if err != nil {
		return err
	}
	if api.json {
		return api.printJSON(out, body)
	}
	var history struct {
		Events *[]ooo.Event `json:"events"`
	}
	if json.Unmarshal(body, &history) != nil || history.Events == nil {
		return errNotOurs(api.base)
	}
	table := newTable(out)
	table.row("WHEN", "WHAT", "SOURCE", "DETAIL")
	for _, h := range *history.Events {
		table.row(instant(&h.At), string(h.Kind), string(h.Source), more(h))
	}
	return table.Flush()
}

// more is all else that is known of it.
func more(h ooo.Event) string {
	var parts []string
	if h.Away != nil {
		parts = append(parts, map[bool]string{true: "out of office", false: "in the office"}[*h.Away])
	}
	if h.Sequence > 0 {
		parts = append(parts, fmt.Sprintf("sequence %d", h.Sequence))
	}
	if h.Attempt > 1 {
		parts = append(parts, fmt.Sprintf("attempt %d", h.Attempt))
	}
	if h.Detail != "" {
		parts = append(parts, h.Detail)
	}
	return strings.Join(parts, ", ")
}

// shortened is the beginning of a reason, for a cell of a table.
func shortened(reason string) string {
	const most = 60
	text := []rune(reason)
	if len(text) <= most {
		return reason
	}
	return strings.TrimRight(string(text[:most-1]), " ,:") + "…"
}
