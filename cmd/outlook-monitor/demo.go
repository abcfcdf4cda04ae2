package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/mediatorsim"
	"outlook-monitor/internal/telemetry"
)

// demoCmd runs everything in one process: a local Graph, a stand-in mediator,
// and between them the service as serve runs it.
type demoCmd struct {
	Once    bool `name:"once" help:"Run the demo once, check the results, and exit: 0, or 1 with what was missing."`
	Verbose bool `name:"verbose" short:"v" help:"Print the service's log too, on standard error."`
}

// Run goes through all steps and, without --once, stays so that others can try things.
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
	running.Go(func() error { return d.report(ctx) })
	running.Go(func() error {
		d.introduce()
		missing := d.runAll(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case len(missing) > 0:
			return fmt.Errorf("the demo is missing:\n  %w", errors.Join(missing...))
		case c.Once:
			stop()
			return nil
		}
		d.invite()
		return nil
	})
	return running.Wait()
}

// The people of the demo.
const (
	ann   = "ann@contoso.example"
	bob   = "bob@contoso.example"
	chris = "chris@contoso.example"
)

var people = []string{ann, bob, chris}

// demo has the parts.
type demo struct {
	sim      *graphsim.Server
	mediator *mediatorsim.Server
	service  *service
	base     string // of the service
	calls    chan mediatorsim.Call
	notes    notes
}

// newDemo sets everything up; nothing runs yet.
func newDemo(out io.Writer, log *slog.Logger) (*demo, error) {
	d := &demo{calls: make(chan mediatorsim.Call, 1000), notes: notes{out: out}}
	var err error
	if d.sim, err = graphsim.New(graphsim.Config{Seed: 1, Log: log}); err != nil {
		return nil, err
	}
	for _, email := range people {
		if _, err := d.sim.AddUser(graphsim.User{UserPrincipalName: email, Mail: email}); err != nil {
			return nil, err
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d.base = "http://" + ln.Addr().String()
	d.mediator, err = mediatorsim.New(mediatorsim.Config{
		MonitorURL: d.base, Log: log,
		Received: func(call mediatorsim.Call) { d.calls <- call },
	})
	if err != nil {
		return nil, err
	}
	d.mediator.Add(people...)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(d.sim.CAPEM())
	settings, err := d.settings()
	if err != nil {
		return nil, err
	}
	d.service, err = newService(serviceConfig{settings: settings, log: log, level: new(slog.LevelVar), listener: ln, roots: roots})
	return d, err
}

// settings are what an operator would set to use the local Graph.
func (d *demo) settings() (config.Settings, error) {
	set := map[string]string{
		"AZURE_TENANT_ID":      d.sim.TenantID(),
		"AZURE_CLIENT_ID":      graphsim.DefaultClientID,
		"AZURE_CLIENT_SECRET":  graphsim.DefaultClientSecret,
		"AZURE_AUTHORITY_HOST": d.sim.URL(),
		"GRAPH_ENDPOINT":       d.sim.URL(),
		"PUBLIC_URL":           d.base,
		"LISTEN_ADDR":          "127.0.0.1:0",
		"MEDIATOR_URL":         d.mediator.URL(),
	}
	return new(config.Serve).Settings(func(name string) string { return set[name] })
}

// introduce says who is who.
func (d *demo) introduce() {
	d.notes.say(`outlook-monitor demo: everything runs in this process, nothing is registered anywhere.
  Graph     %s (a local one), driven through %s
  service   %s, polling every 2 s, with a subscription for each user
  mediator  %s (a stand-in), which receives who is out of office
`, d.sim.URL(), d.sim.ControlURL(), d.base, d.mediator.URL())
}

// invite says what to try.
func (d *demo) invite() {
	control := d.sim.ControlURL() + "/users/" + bob + "/automaticReplies"
	d.notes.say(`
It goes on until you stop it with Ctrl-C. Try it from another shell:
  # Bob leaves; Outlook adds a calendar block, so a notification comes at once
  curl -X PUT %[1]s \
    -d '{"status":"alwaysEnabled","externalReplyMessage":"<p>Gone fishing</p>","calendarBlock":true}'
  # Bob is back, and nothing announces it: the 2 s poll sees it
  curl -X PUT %[1]s -d '{"status":"disabled"}'
  # what the service knows about Bob, and what it did
  curl %[2]s/api/users/%[3]s
  curl %[2]s/api/users/%[3]s/history
  # stop and start monitoring him, as the mediator does
  curl %[2]s/monitor -H 'Content-Type: application/json' -d '{"email":"%[3]s","status":"False"}'
  curl %[2]s/monitor -H 'Content-Type: application/json' -d '{"email":"%[3]s","status":"True"}'
  # Graph asks everyone to wait for five seconds
  curl %[4]s/faults -d '{"operation":"all","kind":"throttle","retryAfter":"5s","times":1}'`,
		control, d.base, bob, d.sim.ControlURL())
}
