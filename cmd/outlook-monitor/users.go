package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/ooo"
)

// usersCmd has the commands that call the private API.
type usersCmd struct {
	Server    config.Secret `name:"server" env:"OUTLOOK_MONITOR_URL" placeholder:"URL" help:"Private address of the running service; default ${default_server}."`
	Token     config.Secret `name:"token" env:"MONITOR_TOKEN" placeholder:"SECRET" help:"The service's MONITOR_TOKEN."`
	TokenFile string        `name:"token-file" env:"MONITOR_TOKEN_FILE" placeholder:"FILE" help:"File that holds the service's MONITOR_TOKEN."`
	JSON      bool          `name:"json" help:"Print the service's JSON instead of text."`

	List    usersListCmd    `cmd:"" help:"List the monitored users."`
	Show    usersShowCmd    `cmd:"" help:"Show a user."`
	History usersHistoryCmd `cmd:"" help:"Show a user's history, newest first."`
	Add     usersAddCmd     `cmd:"" help:"Start monitoring a user."`
	Remove  usersRemoveCmd  `cmd:"" help:"Stop monitoring a user."`
	Check   usersCheckCmd   `cmd:"" help:"Read a user's mailbox now."`
	Resend  usersResendCmd  `cmd:"" help:"Deliver a user's current state to the mediator again."`
	Watch   usersWatchCmd   `cmd:"" help:"Follow the changes of all users, or of one, until Ctrl-C."`
	Export  usersExportCmd  `cmd:"" help:"Export the monitored users as lines of JSON."`
	Import  usersImportCmd  `cmd:"" help:"Import an export."`
}

const defaultServer = "http://127.0.0.1:8080"

// Validate refuses a blank EMAIL, as from an unset variable of a shell: its path would be that of all users.
func (c *usersCmd) Validate(ctx *kong.Context) error {
	for _, chosen := range ctx.Path {
		arg := chosen.Positional
		if arg != nil && arg.Name == "email" && strings.TrimSpace(arg.Target.String()) == "" {
			return errors.New("EMAIL is blank: name the address of a user")
		}
	}
	return nil
}

// AfterApply binds the API for the chosen subcommand.
func (c *usersCmd) AfterApply(ctx *kong.Context) error {
	server := c.Server
	if server.IsZero() {
		server = config.NewURL(defaultServer)
	}
	base := server.URL()
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return fmt.Errorf("--server is not a URL: use one such as %s", defaultServer)
	}
	token, err := c.token()
	if err != nil {
		return err
	}
	ctx.Bind(&usersAPI{base: base, token: token, json: c.JSON, client: &http.Client{
		Timeout:       15 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}})
	return nil
}

func (c *usersCmd) token() (config.Secret, error) {
	switch {
	case c.TokenFile == "":
		return c.Token, nil
	case !c.Token.IsZero():
		return c.Token, errors.New("MONITOR_TOKEN_FILE (--token-file) and MONITOR_TOKEN (--token) are both set: unset one of them")
	}
	text, err := config.ReadSecret(c.TokenFile)
	if err != nil {
		return c.Token, fmt.Errorf("MONITOR_TOKEN_FILE (--token-file) names %q, %w", c.TokenFile, err)
	}
	return config.NewSecret(strings.TrimSpace(text)), nil
}

type userArg struct {
	Email string `arg:"" name:"email" help:"Address of the user, in any letter case."`
}

type (
	usersListCmd   struct{}
	usersShowCmd   struct{ userArg }
	usersAddCmd    struct{ userArg }
	usersRemoveCmd struct{ userArg }
	usersCheckCmd  struct{ userArg }
	usersResendCmd struct{ userArg }
)

// Run prints all users.
func (c *usersListCmd) Run(ctx context.Context, out io.Writer, api *usersAPI) error {
	all, err := api.users(ctx)
	if err != nil {
		return err
	}
	if api.json {
		return json.NewEncoder(out).Encode(map[string]any{"users": all})
	}
	table := newTable(out)
	table.row("EMAIL", "STATE", "OUT OF OFFICE", "CHECKED", "DELIVERY", "REASON")
	for _, u := range all {
		if reason := []rune(u.Reason); len(reason) > 60 {
			u.Reason = strings.TrimRight(string(reason[:59]), " ,:") + "…"
		}
		table.row(u.Email, u.State, outOfOffice(u), formatTime(u.CheckedAt), u.Delivery.State, u.Reason)
	}
	return table.Flush()
}

// Run prints one user.
func (c *usersShowCmd) Run(ctx context.Context, out io.Writer, api *usersAPI) error {
	u, body, err := api.user(ctx, c.Email)
	if err != nil {
		return err
	}
	if api.json {
		return api.printJSON(out, body)
	}
	table := newTable(out)
	table.field("Email", u.Email)
	table.field("Name", u.DisplayName)
	table.field("User principal name", u.UserPrincipalName)
	table.field("Object id", u.ID)
	table.field("State", u.State)
	table.field("Reason", u.Reason)
	table.field("Out of office", outOfOffice(u))
	if s := u.Setting; s != nil {
		table.field("Setting", s.Status)
		table.field("From", formatTime(s.ScheduledStart))
		table.field("Until", formatTime(s.ScheduledEnd))
		table.field("Message", s.Message)
	}
	table.field("Checked", formatTime(u.CheckedAt))
	table.field("Changed", formatTime(u.ChangedAt))
	table.field("Delivery", u.Delivery.State)
	table.field("Delivered", formatTime(u.Delivery.DeliveredAt))
	table.field("Next attempt", formatTime(u.Delivery.NextAttemptAt))
	table.field("Delivery error", u.Delivery.Error)
	for _, s := range u.Subscriptions {
		line := s.Resource + ", " + s.State
		if s.ExpiresAt != nil {
			line += ", until " + formatTime(s.ExpiresAt)
		}
		if s.Error != "" {
			line += ", " + s.Error
		}
		table.field("Subscription", line)
	}
	return table.Flush()
}

// Run starts monitoring one user.
func (c *usersAddCmd) Run(ctx context.Context, out io.Writer, api *usersAPI) error {
	status, body, err := api.call(ctx, http.MethodPut, c.Email, "", nil, nil)
	if _, ok := errors.AsType[*unknownUser](err); ok {
		return fmt.Errorf("%s is not in the directory: check the spelling", printable(c.Email))
	}
	if err != nil {
		return err
	}
	if api.json {
		return api.printJSON(out, body)
	}
	if status == http.StatusAccepted {
		return printUser(out, "%s is accepted, and will be looked up as soon as Microsoft Graph answers.", c.Email)
	}
	return printUser(out, "%s is monitored.", c.Email)
}

// Run stops monitoring one user.
func (c *usersRemoveCmd) Run(ctx context.Context, out io.Writer, api *usersAPI) error {
	return api.do(ctx, out, http.MethodDelete, c.Email, "", "%s is no longer monitored.")
}

// Run requests a read of one mailbox.
func (c *usersCheckCmd) Run(ctx context.Context, out io.Writer, api *usersAPI) error {
	return api.do(ctx, out, http.MethodPost, c.Email, "/check", "The mailbox of %s is being read.")
}

// Run requests a delivery of the current state.
func (c *usersResendCmd) Run(ctx context.Context, out io.Writer, api *usersAPI) error {
	return api.do(ctx, out, http.MethodPost, c.Email, "/resend", "The state of %s is being delivered again.")
}

// do makes a request without a result, and prints done.
func (a *usersAPI) do(ctx context.Context, out io.Writer, method, email, action, done string) error {
	_, body, err := a.call(ctx, method, email, action, nil, nil)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(out, body)
	}
	return printUser(out, done, email)
}

// printJSON prints body, or an empty object if it is empty.
func (a *usersAPI) printJSON(out io.Writer, body []byte) error {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		body = []byte("{}")
	}
	if !json.Valid(body) {
		return errNotService(a.base)
	}
	_, err := fmt.Fprintf(out, "%s\n", body)
	return err
}

func outOfOffice(u user) string {
	switch {
	case u.OutOfOffice == nil:
		return "unknown"
	case *u.OutOfOffice:
		return "yes"
	}
	return "no"
}

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
