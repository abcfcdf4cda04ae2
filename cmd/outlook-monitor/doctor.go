package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/doctor"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/store"
)

// doctorCmd checks every setting against the real world.
type doctorCmd struct {
	User      string `name:"user" placeholder:"EMAIL" help:"Read this user's mailbox too."`
	Subscribe bool   `name:"subscribe" help:"Make a subscription for --user, which proves that Graph reaches PUBLIC_URL, and delete it."`
	JSON      bool   `name:"json" help:"Print one JSON object with \"ok\" and \"checks\" instead of text."`

	config.Serve
}

// Run prints what it finds as it finds it. The error says that something must be
// mended.
func (c *doctorCmd) Run(ctx context.Context, getenv environment, out io.Writer) error {
	if c.Subscribe && c.User == "" {
		return usage{"outlook-monitor: --subscribe needs --user EMAIL: whose calendar is it about?"}
	}
	settings, mistakes := c.Settings(getenv)
	surroundings, err := newPatient(settings, mistakes)
	if err != nil {
		return err
	}
	defer surroundings.close()
	cfg := surroundings.config()
	cfg.User, cfg.Subscribe = c.User, c.Subscribe

	printer := doctor.Printer{Out: out, Colour: colourful(out, getenv)}
	var printing error
	if !c.JSON {
		if _, err := fmt.Fprint(out, "outlook-monitor doctor\n\n"); err != nil {
			return err
		}
		cfg.Each = func(r doctor.Result) { printing = errors.Join(printing, printer.Result(r)) }
	}
	report, err := doctor.Run(ctx, cfg)
	if err != nil {
		return err
	}
	if c.JSON {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		printing = encoder.Encode(report)
	} else {
		printing = errors.Join(printing, printer.Summary(report))
	}
	if printing == nil && !report.OK {
		return fmt.Errorf("doctor: %d to mend", report.Count(doctor.Failed))
	}
	return printing
}

// colourful says whether colours are of use to who reads out.
func colourful(out io.Writer, getenv environment) bool {
	f, ok := out.(*os.File)
	if !ok || getenv("NO_COLOR") != "" || getenv("TERM") == "dumb" {
		return false
	}
	stat, err := f.Stat()
	return err == nil && stat.Mode()&os.ModeCharDevice != 0
}

// patient is what the doctor looks at.
type patient struct {
	settings config.Settings
	mistakes error

	endpoint, authority string // of Graph and its login
	logsInAs            graph.Config
	graph               *graph.Client // nil: the settings don't allow it
	store               *store.Store  // nil: the settings don't allow it, or REDIS_URL is empty
}

func newPatient(settings config.Settings, mistakes error) (*patient, error) {
	p := &patient{settings: settings, logsInAs: graphConfig(settings.Graph)}
	var err error
	if p.endpoint, p.authority, err = p.logsInAs.Addresses(); err != nil {
		return nil, usage{"outlook-monitor: " + err.Error()}
	}
	if p.graph, err = graph.New(p.logsInAs); err != nil && mistakes == nil {
		mistakes = err
	}
	if url := settings.RedisURL; !url.IsZero() && (mistakes == nil || !strings.Contains(mistakes.Error(), "REDIS_")) {
		if p.store, err = openExaminedStore(settings, p.logsInAs); err != nil {
			mistakes = errors.Join(mistakes, err)
		}
	}
	p.mistakes = mistakes
	return p, nil
}

func openExaminedStore(settings config.Settings, logsInAs graph.Config) (*store.Store, error) {
	cfg := store.Config{URL: settings.RedisURL.Reveal()}
	if settings.RedisEntra {
		login, err := graph.NewTokenSource(logsInAs, redisScope, func(string, string) {})
		if err != nil {
			return nil, err
		}
		cfg.Token = login.Token
	}
	return store.Open(cfg)
}

func (p *patient) close() {
	if p.store != nil {
		p.store.Close()
	}
}

func (p *patient) config() doctor.Config {
	cfg := doctor.Config{
		Settings: p.settings, Mistakes: p.mistakes,
		Endpoint: p.endpoint, AuthorityHost: p.authority, LoginCode: graph.LoginCode,
		CertificateExpires: p.logsInAs.CertificateExpires,
		Listen:             standIn{p.settings, slog.New(slog.DiscardHandler)}.listen,
	}
	if p.graph != nil {
		cfg.Graph = p.graph
	}
	if p.store != nil {
		cfg.Redis = p.store
	}
	return cfg
}
