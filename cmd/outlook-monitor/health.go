package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"outlook-monitor/internal/config"
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
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return usageError{fmt.Sprintf("outlook-monitor: %q is not an address: use one such as 127.0.0.1:8080", address)}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+net.JoinHostPort(host, port)+"/healthz", nil)
	if err != nil {
		return err
	}
	// The certificate names the public host, not this one; nothing secret is sent.
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	response, err := client.Do(request)
	if err != nil {
		return errors.New("the service does not answer at " + address)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the service answers %s at %s", response.Status, address)
	}
	return nil
}
