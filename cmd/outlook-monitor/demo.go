package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/mediatorsim"
	"outlook-monitor/internal/telemetry"
)

// demoCmd runs the service in one process with a local Graph and a stand-in mediator.
type demoCmd struct {
	Once    bool `name:"once" help:"Run the demo once, check the results, and exit: 0, or 1 with what failed."`
	Verbose bool `name:"verbose" short:"v" help:"Print the service's log too, on standard error."`
}

// Run runs all steps. Without --once it then goes on until ctx ends.
func (c *demoCmd) Run(ctx context.Context, out io.Writer, errs stderr) error {
	log := slog.New(slog.DiscardHandler)
	if c.Verbose {
		log = telemetry.NewLogger(errs, slog.LevelInfo, "text")
	}
	d, err := newDemo(out, log)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	running, ctx := errgroup.WithContext(ctx)
	running.Go(func() error { return d.sim.Run(ctx) })
	running.Go(func() error { return d.mediator.Run(ctx) })
	running.Go(func() error { return d.service.Run(ctx) })
	running.Go(func() error {
		d.printIntroduction()
		failures := d.runSteps(ctx)
		switch {
		case ctx.Err() != nil && c.Once:
			return errors.New("the demo was interrupted")
		case ctx.Err() != nil:
			return nil
		case len(failures) > 0:
			return fmt.Errorf("the demo failed:\n  %w", errors.Join(failures...))
		case c.Once:
			stop()
			return nil
		}
		d.printSuggestions()
		return nil
	})
	return running.Wait()
}

// The users of the demo.
const (
	ann   = "ann@contoso.example"
	bob   = "bob@contoso.example"
	chris = "chris@contoso.example"
)

var demoUsers = []string{ann, bob, chris}

type demo struct {
	sim      *graphsim.Server
	mediator *mediatorsim.Server
	service  *service
	base     string // URL of the service
	api      *usersAPI
	out      *stdlog.Logger // to the terminal
	changed  sync.Map       // when the demo last changed the setting of an address
}

// newDemo creates all parts. Nothing runs yet.
func newDemo(out io.Writer, log *slog.Logger) (*demo, error) {
	d := &demo{out: stdlog.New(out, "", 0)}
	var err error
	if d.sim, err = graphsim.New(graphsim.Config{Seed: 1, Log: log}); err != nil {
		return nil, err
	}
	for _, email := range demoUsers {
		if _, err := d.sim.AddUser(graphsim.User{UserPrincipalName: email, Mail: email}); err != nil {
			return nil, err
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d.api = &usersAPI{base: &url.URL{Scheme: "http", Host: ln.Addr().String()}, client: http.DefaultClient}
	d.base = d.api.base.String()
	if d.mediator, err = mediatorsim.New(mediatorsim.Config{MonitorURL: d.base, Log: log, Received: d.print}); err != nil {
		return nil, err
	}
	d.mediator.Add(demoUsers...)
	settings, err := d.settings()
	if err != nil {
		return nil, err
	}
	d.service, err = newService(serviceConfig{settings: settings, log: log, level: new(slog.LevelVar), listener: ln, roots: d.sim.Roots()})
	return d, err
}

// settings returns the settings of the service.
func (d *demo) settings() (config.Settings, error) {
	env := map[string]string{
		"AZURE_TENANT_ID":      d.sim.TenantID(),
		"AZURE_CLIENT_ID":      graphsim.DefaultClientID,
		"AZURE_CLIENT_SECRET":  graphsim.DefaultClientSecret,
		"AZURE_AUTHORITY_HOST": d.sim.URL(),
		"GRAPH_ENDPOINT":       d.sim.URL(),
		"PUBLIC_URL":           d.base,
		"LISTEN_ADDR":          "127.0.0.1:0",
		"MEDIATOR_URL":         d.mediator.URL(),
	}
	return new(config.Serve).Settings(func(name string) string { return env[name] })
}

func (d *demo) printIntroduction() {
	d.out.Printf(`outlook-monitor demo: everything runs in this process, and nothing has to be registered.
  Graph     %s (a local one), driven through %s
  service   %s, polling every 2 s, with a subscription for each user
  mediator  %s (a stand-in), which receives who is out of office
`, d.sim.URL(), d.sim.ControlURL(), d.base, d.mediator.URL())
}

func (d *demo) printSuggestions() {
	control := d.sim.ControlURL() + "/users/" + bob + "/automaticReplies"
	d.out.Printf(`
The demo runs until you stop it with Ctrl-C. Try it from another shell:
  # Bob leaves; Outlook adds a calendar block, so Graph sends a notification
  curl -X PUT %[1]s \
    -d '{"status":"alwaysEnabled","externalReplyMessage":"<p>Gone fishing</p>","calendarBlock":true}'
  # Bob is back, without a notification: the 2 s poll sees it
  curl -X PUT %[1]s -d '{"status":"disabled"}'
  # what the service knows about Bob, and his history
  curl %[2]s/api/users/%[3]s
  curl %[2]s/api/users/%[3]s/history
  # stop and start monitoring him, as the mediator does
  curl %[2]s/monitor -H 'Content-Type: application/json' -d '{"email":"%[3]s","status":"False"}'
  curl %[2]s/monitor -H 'Content-Type: application/json' -d '{"email":"%[3]s","status":"True"}'
  # Graph throttles all requests for five seconds
  curl %[4]s/faults -d '{"operation":"all","kind":"throttle","retryAfter":"5s","times":1}'`,
		control, d.base, bob, d.sim.ControlURL())
}
