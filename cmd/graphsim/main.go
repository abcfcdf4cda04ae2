// Command graphsim runs the local Microsoft Graph: HTTPS for Graph and its login
// endpoint, and a control API on a separate port. It prints the settings that a client
// needs. --help lists the routes of the control API and the faults; README.md describes
// them.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// exitUsage is the exit code for invalid flags. It is 1 for other errors.
const exitUsage = 2

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal kills the process

	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr, log)
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "graphsim:", err)
		os.Exit(exitUsage)
	default:
		log.Error("stopped", "err", err)
		os.Exit(1)
	}
}
