package main

import (
	"context"
	"fmt"
	"io"

	"github.com/alecthomas/kong"

	"outlook-monitor/internal/config"
)

// commands is the command line.
type commands struct {
	Serve   serveCmd   `cmd:"" default:"withargs" help:"Run the service (default)."`
	Demo    demoCmd    `cmd:"" help:"See it work with a local Graph and a stand-in mediator, all in one process."`
	Doctor  doctorCmd  `cmd:"" help:"Check every setting against the real Graph, Redis and mediator, with a remedy for each problem."`
	Users   usersCmd   `cmd:"" help:"Show and change the monitored users of a running service."`
	Health  healthCmd  `cmd:"" help:"Exit 0 if the service on this machine is alive, 1 if not."`
	Version versionCmd `cmd:"" help:"Print the version."`

	Completion  completionCmd  `cmd:"" help:"Print a shell completion script."`
	DevMediator devMediatorCmd `cmd:"" hidden:"" help:"Run the stand-in mediator alone."`
}

// usageError means wrong flags or settings. Its text is the complete message.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func settingError(err error) error { return usageError{"outlook-monitor: " + err.Error()} }

// run is the program.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, errs io.Writer) error {
	cli := commands{Serve: serveCmd{Serve: config.NewServe()}, Doctor: doctorCmd{Serve: config.NewServe()}}
	helpShown := false
	parser, err := kong.New(&cli,
		kong.Name("outlook-monitor"),
		kong.Description("Detects within seconds when anyone in a Microsoft 365 tenant turns Out of Office on or off, "+
			"and reports it to the mediator."),
		kong.Vars{"default_server": defaultServer},
		kong.Writers(stdout, errs),
		kong.Exit(func(int) { helpShown = true }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.BindTo(stdout, (*io.Writer)(nil)),
		kong.Bind(environment(getenv), stderr{errs}),
	)
	if err != nil {
		return err
	}
	if done, err := printCompletions(parser, stdout); done || err != nil {
		return err
	}
	chosen, err := parser.Parse(args)
	switch {
	case helpShown: // kong goes on when its Exit function returns
		return nil
	case err != nil:
		return usageError{fmt.Sprintf("outlook-monitor: %v; see outlook-monitor --help", err)}
	}
	return chosen.Run()
}

// environment looks up a variable, like os.Getenv.
type environment func(string) string

// stderr receives what is not the result of a command.
type stderr struct{ io.Writer }
