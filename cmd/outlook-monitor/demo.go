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

// demoCmd is the whole story in one process: a local Graph, a stand-in mediator,
// and between them the service as serve runs it.
type demoCmd struct {
	Once    bool `name:"once" help:"Run the demo once, check the results, and exit: 0, or 1 with what was missing."`
	Verbose bool `name:"verbose" short:"v" help:"Print the service's log too, on standard error."`
}

// Run plays the story and, without --once, stays for others to play.
func (c *demoCmd) Run(ctx context.Context, out io.Writer, errs stderr) error {
	log := slog.New(slog.DiscardHandler)
	if c.Verbose {
		log = telemetry.NewLogger(errs, slog.LevelInfo, "text")
	}
	s, err := newStage(out, log)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	running, ctx := errgroup.WithContext(ctx)
	running.Go(func() error { return s.sim.Run(ctx) })
	running.Go(func() error { return s.mediator.Run(ctx) })
	running.Go(func() error { return s.service.Run(ctx) })
	running.Go(func() error { return s.narrate(ctx) })
	running.Go(func() error {
		s.introduce()
		missing := s.play(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case len(missing) > 0:
			return fmt.Errorf("the demo is missing:\n  %w", errors.Join(missing...))
		case c.Once:
			stop()
			return nil
		}
		s.invite()
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

var cast = []string{ann, bob, chris}

// stage is what the story is played on.
type stage struct {
	sim      *graphsim.Server
	mediator *mediatorsim.Server
	service  *service
	base     string // of the service
	calls    chan mediatorsim.Call
	notes    notes
}

// newStage sets everything up; nothing runs yet.
func newStage(out io.Writer, log *slog.Logger) (*stage, error) {
	s := &stage{calls: make(chan mediatorsim.Call, 1000), notes: notes{out: out}}
	var err error
	if s.sim, err = graphsim.New(graphsim.Config{Seed: 1, Log: log}); err != nil {
		return nil, err
	}
	for _, email := range cast {
		if _, err := s.sim.AddUser(graphsim.User{UserPrincipalName: email, Mail: email}); err != nil {
			return nil, err
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.base = "http://" + ln.Addr().String()
	s.mediator, err = mediatorsim.New(mediatorsim.Config{
		MonitorURL: s.base, Log: log,
		Received: func(call mediatorsim.Call) { s.calls <- call },
	})
	if err != nil {
		return nil, err
	}
	s.mediator.Add(cast...)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.sim.CAPEM())
	settings, err := s.settings()
	if err != nil {
		return nil, err
	}
	s.service, err = newService(serviceConfig{settings: settings, log: log, level: new(slog.LevelVar), listener: ln, roots: roots})
	return s, err
}

// settings are what an operator would set to use the local Graph.
func (s *stage) settings() (config.Settings, error) {
	set := map[string]string{
		"AZURE_TENANT_ID":      s.sim.TenantID(),
		"AZURE_CLIENT_ID":      graphsim.DefaultClientID,
		"AZURE_CLIENT_SECRET":  graphsim.DefaultClientSecret,
		"AZURE_AUTHORITY_HOST": s.sim.URL(),
		"GRAPH_ENDPOINT":       s.sim.URL(),
		"PUBLIC_URL":           s.base,
		"LISTEN_ADDR":          "127.0.0.1:0",
		"MEDIATOR_URL":         s.mediator.URL(),
	}
	return new(config.Serve).Settings(func(name string) string { return set[name] })
}

// introduce says who is who.
func (s *stage) introduce() {
	s.notes.say(`outlook-monitor demo: everything runs in this process, nothing is registered anywhere.
  Graph     %s (a local one), driven through %s
  service   %s, polling every 2 s, with a subscription for each user
  mediator  %s (a stand-in), which receives who is out of office
`, s.sim.URL(), s.sim.ControlURL(), s.base, s.mediator.URL())
}

// invite says how to play.
func (s *stage) invite() {
	control := s.sim.ControlURL() + "/users/" + bob + "/automaticReplies"
	s.notes.say(`
It goes on until you stop it with Ctrl-C. Play with it from another shell:
  # Bob leaves; Outlook adds a calendar block, so a notification comes at once
  curl -X PUT %[1]s \
    -d '{"status":"alwaysEnabled","externalReplyMessage":"<p>Gone fishing</p>","calendarBlock":true}'
  # Bob is back, and nothing announces it: the 2 s poll sees it
  curl -X PUT %[1]s -d '{"status":"disabled"}'
  # what the service knows of Bob, and what it did
  curl %[2]s/api/users/%[3]s
  curl %[2]s/api/users/%[3]s/history
  # stop and start to monitor him, as the mediator does
  curl %[2]s/monitor -H 'Content-Type: application/json' -d '{"email":"%[3]s","status":"False"}'
  curl %[2]s/monitor -H 'Content-Type: application/json' -d '{"email":"%[3]s","status":"True"}'
  # Graph asks everyone to wait for five seconds
  curl %[4]s/faults -d '{"operation":"all","kind":"throttle","retryAfter":"5s","times":1}'`,
		control, s.base, bob, s.sim.ControlURL())
}
