// Command graphsim runs the local Microsoft Graph alone: HTTPS for Graph and
// its login endpoint, and a control API on a port of its own. It prints what a
// program has to set to use it. --help lists the control API's routes and the
// faults; README.md describes them.
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

// exitUsage is the exit code for wrong settings; anything else that fails is 1.
const exitUsage = 2

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal kills at once

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
