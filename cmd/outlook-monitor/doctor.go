package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/config"
	"outlook-monitor/internal/doctor"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/store"
	"outlook-monitor/internal/telemetry"
	"outlook-monitor/internal/webhook"
)

// doctorCmd checks every setting against the real systems.
type doctorCmd struct {
	User      string `name:"user" placeholder:"EMAIL" help:"Read this user's mailbox too."`
	Subscribe bool   `name:"subscribe" help:"Create a subscription for --user, which proves that Graph reaches PUBLIC_URL, and delete it."`
	JSON      bool   `name:"json" help:"Print one JSON object with \"ok\" and \"checks\" instead of text."`

	config.Serve
}

// Run prints each result as soon as it is known. It returns an error if a check failed.
func (c *doctorCmd) Run(ctx context.Context, getenv environment, out io.Writer) error {
	if c.Subscribe && c.User == "" {
		return usageError{"outlook-monitor: --subscribe needs --user EMAIL"}
	}
	settings, mistakes := readSettings(&c.Serve, getenv)
	login := graphConfig(settings.Graph)
	client, err := graph.New(login)
	if err != nil {
		return err
	}
	cfg := doctor.Config{
		Settings: settings, Mistakes: mistakes, User: c.User, Subscribe: c.Subscribe, Login: login, Graph: client,
		Listen: func(ctx context.Context) (func(), error) { return listenForDoctor(ctx, settings) },
	}
	if found, _ := errors.AsType[config.Mistakes](mistakes); !settings.RedisURL.IsZero() && found.In("REDIS_AUTH") == "" {
		if opened, err := connectRedis(settings, login); err == nil { // otherwise among the mistakes
			defer opened.Close()
			cfg.Redis = opened
		}
	}

	printer := doctor.Printer{Out: out, Colour: telemetry.IsTerminal(out) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"}
	var printErr error
	if !c.JSON {
		if _, err := fmt.Fprint(out, "outlook-monitor doctor\n\n"); err != nil {
			return err
		}
		cfg.OnResult = func(r doctor.Result) { printErr = errors.Join(printErr, printer.Result(r)) }
	}
	report, err := doctor.Run(ctx, cfg)
	if err != nil {
		return err
	}
	if c.JSON {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		printErr = encoder.Encode(report)
	} else {
		printErr = errors.Join(printErr, printer.Summary(report))
	}
	if printErr == nil && !report.OK {
		return fmt.Errorf("doctor: %d to fix", report.Count(doctor.Failed))
	}
	return printErr
}

// connectRedis connects the doctor as the service would connect.
func connectRedis(settings config.Settings, login graph.Config) (*store.Store, error) {
	cfg := store.Config{URL: settings.RedisURL.Reveal(), Fingerprint: fingerprint(settings)}
	if settings.RedisEntra {
		cfg.Token = graph.NewTokenSource(login, redisScope, func(string, string) {}).Token
	}
	return store.Open(cfg)
}

var errNotServing = errors.New("the service is not running")

// listenForDoctor serves Graph's paths at LISTEN_ADDR, while the service is not running, until
// stop is called. It has no certificate from ACME: the doctor then makes no handshake.
func listenForDoctor(ctx context.Context, settings config.Settings) (stop func(), err error) {
	settings.ACMEDomains = nil
	log := slog.New(slog.DiscardHandler)
	l := server.Listener{}
	if l.TLS, err = (&service{settings: settings, log: log, expiry: map[string]func() time.Time{}}).newTLS(); err != nil {
		return nil, err
	}
	receiver := webhook.New(webhook.Config{
		Ready:  func() bool { return true },
		Public: server.NewPublic(server.PublicConfig{Concurrency: 16, Refused: func(int) {}, Log: log}),
		// Without keys the receiver answers 503 to notifications, so Graph sends them again.
		Keys:    func(context.Context) (ooo.ClientStateKeys, error) { return ooo.ClientStateKeys{}, errNotServing },
		Counted: func(string, int) {}, Answered: func(time.Duration) {}, Log: log,
	})
	engine := api.NewEngine(log)
	registerReceiver(receiver, engine, settings.PublicURL)
	l.Handler = engine
	if l.Listener, err = new(net.ListenConfig).Listen(ctx, "tcp", settings.ListenAddr); err != nil {
		return nil, err
	}
	serveCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(serveCtx, l, log) // the checks notice if it fails
	}()
	return func() { cancel(); <-ended }, nil
}
