package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"outlook-monitor/internal/graphsim"
)

var errUsage = errors.New("invalid flags")

// flags are the command's flags. Each can also be set by an environment variable.
type flags struct {
	Addr        string   `default:"127.0.0.1:9443" env:"GRAPHSIM_ADDR" help:"Address of Graph and its login endpoint (HTTPS)."`
	ControlAddr string   `default:"127.0.0.1:9480" env:"GRAPHSIM_CONTROL_ADDR" help:"Address of the control API (HTTP), which needs no token."`
	Host        []string `env:"GRAPHSIM_HOST" help:"Additional names or addresses in the certificate, such as a container's name."`
	CAFile      string   `name:"ca-file" type:"path" env:"GRAPHSIM_CA_FILE" help:"PEM file of the certificate authority, with the key in FILE.key; created if missing."`

	Users  int    `default:"3" env:"GRAPHSIM_USERS" help:"Number of initial users: user0001@DOMAIN and so on."`
	Domain string `default:"contoso.example" env:"GRAPHSIM_DOMAIN" help:"Domain of the initial users."`
	Seed   uint64 `default:"1" env:"GRAPHSIM_SEED" help:"Seed of ids and random choices."`

	TenantID     string `default:"${tenant}" env:"GRAPHSIM_TENANT_ID" help:"Tenant id."`
	ClientID     string `default:"${client}" env:"GRAPHSIM_CLIENT_ID" help:"Application (client) id."`
	ClientSecret string `default:"${secret}" env:"GRAPHSIM_CLIENT_SECRET" help:"Client secret."`

	Roles []string `env:"GRAPHSIM_ROLES" placeholder:"ROLE,..." help:"Granted application permissions, such as MailboxSettings.Read,User.Read.All, or none; default all known ones."`

	TokenLifetime   time.Duration `default:"1h" env:"GRAPHSIM_TOKEN_LIFETIME" help:"Lifetime of access tokens."`
	MaxSubscription time.Duration `default:"10070m" env:"GRAPHSIM_MAX_SUBSCRIPTION" help:"Maximum life of a subscription; longer ones are refused."`
	MinSubscription time.Duration `default:"45m" env:"GRAPHSIM_MIN_SUBSCRIPTION" help:"Minimum life of a subscription; shorter ones are raised to it."`
}

// Help returns the text that --help shows below the description.
func (flags) Help() string {
	return `Control API (plain HTTP; cmd/graphsim/README.md describes it):

	/users  /users/bulk  /users/{x}  /users/{x}/automaticReplies|mailbox|changes
	/subscriptions  /subscriptions/{id}/lifecycle|remove
	/faults  /faults/{id}  /notify  /tokens/revoke  /stats  /stats/reset  /reset

Faults:

	requests:           latency, throttle, status, reset, hang
	new subscriptions:  short-life, early-expiry
	subscription lists: omit, empty, repeat
	notifications:      drop, double, delay, reorder, forge`
}

// parse parses the flags. shown is true if it printed the help.
func parse(args []string, stdout, stderr io.Writer) (f flags, shown bool, err error) {
	parser, err := kong.New(&f,
		kong.Name("graphsim"),
		kong.Description("A local Microsoft Graph with its login endpoint, to develop and test against."),
		kong.Vars{
			"tenant": graphsim.DefaultTenantID,
			"client": graphsim.DefaultClientID,
			"secret": graphsim.DefaultClientSecret,
		},
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { shown = true }),
	)
	if err != nil {
		return flags{}, false, err
	}
	_, err = parser.Parse(args)
	switch {
	case shown: // kong continues after the help
		return flags{}, true, nil
	case err != nil:
		return flags{}, false, fmt.Errorf("%w: %w", errUsage, err)
	case f.Users < 0:
		return flags{}, false, fmt.Errorf("%w: --users is %d, want 0 or more", errUsage, f.Users)
	}
	return f, false, nil
}

// granted returns the application permissions, or nil for all.
func (f flags) granted() []string {
	if len(f.Roles) == 1 && f.Roles[0] == "none" {
		return []string{}
	}
	return f.Roles
}

// run is the program: it serves until ctx ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, log *slog.Logger) error {
	f, shown, err := parse(args, stdout, stderr)
	if shown || err != nil {
		return err
	}
	sim, err := graphsim.New(graphsim.Config{
		Addr: f.Addr, ControlAddr: f.ControlAddr, Hosts: f.Host,
		TenantID: f.TenantID, ClientID: f.ClientID, ClientSecret: f.ClientSecret,
		Roles: f.granted(), CAFile: f.CAFile, Seed: f.Seed, TokenLifetime: f.TokenLifetime,
		MaxSubscription: f.MaxSubscription, MinSubscription: f.MinSubscription,
		Log: log,
	})
	if errors.Is(err, graphsim.ErrInvalid) {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if err != nil {
		return err
	}
	if f.Users > 0 {
		if _, err := sim.AddUsers(f.Users, f.Domain); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	announce(stdout, sim, f)
	return sim.Run(ctx)
}

// announce prints the settings for clients of sim, at once: who has read a part has all.
func announce(stdout io.Writer, sim *graphsim.Server, f flags) {
	w := &strings.Builder{}
	fmt.Fprintf(w, "GRAPH_ENDPOINT=%s\n", sim.URL())
	fmt.Fprintf(w, "AZURE_AUTHORITY_HOST=%s\n", sim.URL())
	fmt.Fprintf(w, "AZURE_TENANT_ID=%s\n", f.TenantID)
	fmt.Fprintf(w, "AZURE_CLIENT_ID=%s\n", f.ClientID)
	fmt.Fprintf(w, "AZURE_CLIENT_SECRET=%s\n", f.ClientSecret)
	if f.CAFile != "" {
		fmt.Fprintf(w, "SSL_CERT_FILE=%s\n", f.CAFile)
	} else {
		fmt.Fprintln(w, "# SSL_CERT_FILE: start with --ca-file FILE and set it to FILE")
	}
	fmt.Fprintf(w, "# control API: %s\n", sim.ControlURL())
	if f.Users > 0 {
		fmt.Fprintf(w, "# users: user0001@%s to user%04d@%s\n", f.Domain, f.Users, f.Domain)
	}
	_, _ = io.WriteString(stdout, w.String())
}
