package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"outlook-monitor/internal/certs"
	"outlook-monitor/internal/config"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
	"outlook-monitor/internal/telemetry"
	"outlook-monitor/internal/webhook"
)

// readSettings returns the settings and all mistakes in them, also those that only the packages
// for Redis and OpenTelemetry find.
func readSettings(c *config.Serve, getenv environment) (config.Settings, error) {
	settings, err := c.Settings(getenv)
	if !settings.RedisURL.IsZero() {
		err = errors.Join(err, c.Named(getenv, "REDIS_URL", store.CheckURL(settings.RedisURL.Reveal())))
	}
	if collector := settings.TracesEndpoint; !collector.IsZero() {
		// OpenTelemetry reads only variables. This fails only with a NUL, which is a mistake already.
		_ = os.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.Reveal())
	}
	return settings, errors.Join(err, telemetry.CheckVariables())
}

// fingerprint identifies the owner of the data in Redis: services of different tenants, apps
// or Graph endpoints must not share it. With a managed identity the tenant is known only if
// AZURE_TENANT_ID is set.
func fingerprint(settings config.Settings) string {
	endpoint, _ := graphConfig(settings.Graph).Addresses()
	return digest(settings.Graph.TenantID, settings.Graph.ClientID, endpoint)
}

// settingsDigest is equal for replicas whose settings leave the same behind: subscriptions at
// Graph, and states in Redis. Replicas that differ would undo each other's work, so the
// settings of the replica that joined last win during a rolling upgrade. What an owner only does
// while it owns a mailbox, such as reading it every POLL_INTERVAL, leaves nothing to undo and is
// not included.
func settingsDigest(settings config.Settings) string {
	return digest(settings.PublicURL.Reveal(), strings.Join(settings.Resources, ","), settings.Lifetime.String(),
		policy(settings).Tag(), strings.Join(settings.EncryptionCertFiles, ","),
		ooo.NewClientStateKeys(reveal(settings.ClientStateKeys)...).Tag())
}

func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

func policy(settings config.Settings) ooo.Policy {
	return ooo.Policy{
		Scheduled: ooo.ScheduledMode(settings.Scheduled), Message: ooo.MessageSource(settings.Message), Limit: settings.MessageLimit,
	}
}

// resources returns the resources subscribed to for each mailbox: none without a public URL.
func resources(settings config.Settings) []string {
	if settings.PublicURL.IsZero() && !settings.Tunnel.Used() {
		return nil
	}
	return settings.Resources
}

func graphConfig(g config.Graph) graph.Config {
	return graph.Config{
		Cloud: g.Cloud, Endpoint: g.Endpoint, AuthorityHost: g.AuthorityHost,
		TenantID: g.TenantID, ClientID: g.ClientID,
		ClientSecret: g.ClientSecret.Reveal(), CertificatePath: g.CertificatePath,
		CertificatePassword: g.CertificatePassword.Reveal(), FederatedTokenFile: g.FederatedTokenFile,
		ManagedIdentity: g.Credential == config.ManagedIdentity, ManagedIdentityClientID: g.ClientID,
	}
}

// redisScope is the scope of tokens for Azure Managed Redis in every cloud.
const redisScope = "https://redis.azure.com/.default"

// openStore opens the store, with a Redis inside this process if REDIS_URL is not set.
func (s *service) openStore(roots *x509.CertPool) error {
	storeConfig := store.Config{
		URL: s.settings.RedisURL.Reveal(), Fingerprint: fingerprint(s.settings), Observe: s.seen.redisAnswered,
		OnDamaged: s.seen.damaged, Log: s.log,
	}
	if storeConfig.URL == "" {
		url, stop, err := store.StartEmbedded()
		if err != nil {
			return fmt.Errorf("start the embedded Redis: %w", err)
		}
		s.closers = append(s.closers, func() error { stop(); return nil })
		storeConfig.URL = url
		s.log.Warn("REDIS_URL is not set: Redis runs inside this process and its state is lost at exit")
	}
	if s.settings.RedisEntra {
		credential := graphConfig(s.settings.Graph)
		credential.RootCAs, credential.Observe, credential.Log = roots, s.seen.graphCounted, s.log.With("for", "redis")
		renewed := func(user, token string) { s.store.Reauthenticate(user, token) }
		login := graph.NewTokenSource(credential, redisScope, renewed)
		storeConfig.Token = login.Token
		s.base = append(s.base, login.Run)
	}
	opened, err := store.Open(storeConfig)
	if err != nil {
		return settingError(err)
	}
	s.store = opened
	s.closers = append(s.closers, func() error { opened.Close(); return nil })
	return nil
}

func reveal(secrets []config.Secret) (all []string) {
	for _, s := range secrets {
		all = append(all, s.Reveal())
	}
	return all
}

// newTokens returns the checker of validation tokens; nil without an app registration.
func (s *service) newTokens(roots *x509.CertPool) *webhook.Tokens {
	g := s.settings.Graph
	if g.TenantID == "" || g.ClientID == "" {
		return nil
	}
	_, authority := graphConfig(g).Addresses()
	tokens := webhook.NewTokens(webhook.TokensConfig{
		AuthorityHost: authority, TenantID: g.TenantID, ClientID: g.ClientID, Log: s.log,
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 5 * time.Second, IdleConnTimeout: time.Minute,
		},
	})
	s.base = append(s.base, tokens.Run)
	return tokens
}

// newCertificates returns the certificates for resource data; nil if none are set.
func (s *service) newCertificates() (*webhook.Certificates, error) {
	if len(s.settings.EncryptionCertFiles) == 0 {
		return nil, nil
	}
	certificates, err := webhook.NewCertificates(s.settings.EncryptionCertFiles, s.settings.EncryptionKeyFiles, s.log)
	if err != nil {
		return nil, settingError(err)
	}
	s.expiry["encryption"] = certificates.Expires
	s.base = append(s.base, certificates.Run)
	return certificates, nil
}

// newTLS returns the TLS configuration of the public listener; nil without TLS.
func (s *service) newTLS() (*tls.Config, error) {
	switch {
	case s.settings.TLSCertFile != "":
		certificate, err := certs.NewFiles(certs.FilesConfig{
			CertFile: s.settings.TLSCertFile, KeyFile: s.settings.TLSKeyFile, Log: s.log,
		})
		if err != nil {
			return nil, err
		}
		s.expiry["tls"] = func() time.Time { return certificate.Pair().Leaf.NotAfter }
		return certificate.TLS(), nil
	case len(s.settings.ACMEDomains) > 0:
		acme, err := certs.NewACME(certs.ACMEConfig{
			Domains: s.settings.ACMEDomains, Email: s.settings.ACMEEmail, Directory: s.settings.ACMEDirectory, CAFile: s.settings.ACMECAFile,
			Storage: s.store.Storage("acme"), Log: s.log,
			Lock: func(ctx context.Context, name string) (func(context.Context) error, error) {
				return s.store.Lock(ctx, "acme:"+name, certs.LockTime)
			},
		})
		if err != nil {
			return nil, err
		}
		s.workers = append(s.workers, acme.Run)
		return acme.TLS(), nil
	}
	return nil, nil
}
