package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/doctor"
)

// healthCmd is a health check for containers that contain no other program.
type healthCmd struct {
	ListenAddr string `name:"listen-addr" placeholder:"HOST:PORT" help:"Where the service listens; default $$PRIVATE_ADDR, $$LISTEN_ADDR, :$$PORT or :8080."`
}

// Run requests /healthz once.
func (c *healthCmd) Run(ctx context.Context, getenv environment) error {
	settings, wrong := new(config.Serve).Settings(getenv)
	address, scheme := settings.PrivateAddr, "http"
	if c.ListenAddr != "" || address == "" {
		address = cmp.Or(c.ListenAddr, settings.ListenAddr)
		if settings.TLSCertFile != "" || len(settings.ACMEDomains) > 0 {
			scheme = "https"
		}
	}
	if address == "" {
		return usageError{mistakes(wrong)}
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return usageError{fmt.Sprintf("outlook-monitor: %q is not an address: use one such as 127.0.0.1:8080", address)}
	}
	switch status, err := doctor.StatusAt(ctx, scheme, address, "/healthz"); {
	case err != nil:
		return errors.New("the service does not answer at " + address)
	case status != http.StatusOK:
		return fmt.Errorf("the service answers %d %s at %s", status, http.StatusText(status), address)
	}
	return nil
}
