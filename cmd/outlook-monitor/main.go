// Command outlook-monitor reports to a mediator, within seconds, when anyone in a
// Microsoft 365 tenant turns Out of Office on or off. See README.md.
//
// This package parses the command line and wires the other packages together.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// exitUsage is the exit code for wrong flags or settings. Other errors exit with 1.
const exitUsage = 2

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal kills at once

	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitUsage)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "outlook-monitor:", err)
		os.Exit(1)
	}
}
