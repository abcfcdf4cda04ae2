package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"outlook-monitor/internal/certs"
	"outlook-monitor/internal/config"
	"outlook-monitor/internal/deliver"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/store"
	"outlook-monitor/internal/telemetry"
	"outlook-monitor/internal/webhook"
)

// readSettings returns the settings and all mistakes in them, also those that only the packages
// for Redis and OpenTelemetry find.
func readSettings(c *config.Serve, getenv environment) (config.Settings, error) {
	settings, err := c.Settings(getenv)
	if found, _ := errors.AsType[config.Mistakes](err); !settings.RedisURL.IsZero() && !found.Has("REDIS_URL") {
		err = errors.Join(err, store.CheckURL(settings.RedisURL.Reveal()))
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
// Graph, and states in Redis. Replicas that differ would undo each other's work, so the newer
// settings win during a rolling upgrade. What an owner only does while it owns a mailbox,
// such as reading it every POLL_INTERVAL, leaves nothing to undo and is not included.
func settingsDigest(settings config.Settings) string {
	return digest(settings.PublicURL.Reveal(), strings.Join(settings.Resources, ","), settings.Lifetime.String(),
		policy(settings).Tag(), strings.Join(settings.EncryptionCertFiles, ","), clientStateKeys(settings.ClientStateKeys).Tag())
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
func (s *service) openStore(cfg serviceConfig, metrics *telemetry.Metrics) error {
	storeConfig := store.Config{
		URL: cfg.settings.RedisURL.Reveal(), Fingerprint: fingerprint(cfg.settings), Observe: metrics.RedisAnswered,
		OnDamaged: metrics.Damaged, Log: s.log,
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
	if cfg.settings.RedisEntra {
		credential := graphConfig(cfg.settings.Graph)
		credential.RootCAs, credential.Observe, credential.Log = cfg.roots, metrics.GraphAnswered, s.log.With("for", "redis")
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

func newMediator(settings config.Settings, tracing *telemetry.Tracing) (*deliver.Mediator, error) {
	base, err := settings.MediatorURL.Parse()
	if err != nil {
		return nil, fmt.Errorf("MEDIATOR_URL: %w", err)
	}
	cfg := deliver.MediatorConfig{URL: base, Token: settings.MediatorToken.Reveal(), Transport: tracing.Transport(deliver.NewTransport())}
	for _, secret := range settings.SigningSecrets {
		cfg.SigningSecrets = append(cfg.SigningSecrets, secret.Reveal())
	}
	return deliver.NewMediator(cfg)
}

// newTokens returns the checker of validation tokens; nil without an app registration.
func newTokens(g config.Graph, authority string, roots *x509.CertPool, log *slog.Logger) *webhook.Tokens {
	if g.TenantID == "" || g.ClientID == "" {
		return nil
	}
	return webhook.NewTokens(webhook.TokensConfig{
		AuthorityHost: authority, TenantID: g.TenantID, ClientID: g.ClientID, Log: log,
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 5 * time.Second, IdleConnTimeout: time.Minute,
		},
	})
}

// newCertificates returns the certificates for resource data; nil if none are set. It adds
// the expiry of the current one.
func newCertificates(settings config.Settings, expiry map[string]func() time.Time, log *slog.Logger) (*webhook.Certificates, error) {
	if len(settings.EncryptionCertFiles) == 0 {
		return nil, nil
	}
	certificates, err := webhook.NewCertificates(settings.EncryptionCertFiles, settings.EncryptionKeyFiles, log)
	if err != nil {
		return nil, settingError(err)
	}
	expiry["encryption"] = certificates.Expires
	return certificates, nil
}

// notificationConcurrency limits Graph's requests in flight.
const notificationConcurrency = 256

func newPublic(settings config.Settings, metrics *telemetry.Metrics, log *slog.Logger) *server.Public {
	return server.NewPublic(server.PublicConfig{
		Rate: settings.PublicRateLimit, Allow: settings.PublicAllow, Proxies: settings.TrustedProxies, Concurrency: notificationConcurrency,
		Refused: metrics.Refused, Log: log,
	})
}

func newAccess(settings config.Settings, metrics *telemetry.Metrics, log *slog.Logger) *server.Access {
	return server.NewAccess(server.AccessConfig{
		Token: settings.MonitorToken.Reveal(), AnyHost: settings.AllowAnonymous, Proxies: settings.TrustedProxies,
		Wrong: func() { metrics.Refused(http.StatusUnauthorized) }, Log: log,
	})
}

// newTLS returns the TLS configuration of the public listener, nil without TLS. The ACME
// client is nil unless certificates come from ACME. It adds the expiry of a certificate from
// a file.
func newTLS(
	settings config.Settings, s *store.Store, expiry map[string]func() time.Time, log *slog.Logger,
) (*tls.Config, *certs.ACME, error) {
	switch {
	case settings.TLSCertFile != "":
		certificate, err := certs.NewFiles(certs.FilesConfig{
			CertFile: settings.TLSCertFile, KeyFile: settings.TLSKeyFile, Log: log,
		})
		if err != nil {
			return nil, nil, err
		}
		expiry["tls"] = func() time.Time { return certificate.Pair().Leaf.NotAfter }
		return certificate.TLS(), nil, nil
	case len(settings.ACMEDomains) > 0:
		acme, err := certs.NewACME(certs.ACMEConfig{
			Domains: settings.ACMEDomains, Email: settings.ACMEEmail, Directory: settings.ACMEDirectory, CAFile: settings.ACMECAFile,
			Storage: s.Storage("acme"), Log: log,
			Lock: func(ctx context.Context, name string) (func(context.Context) error, error) {
				return s.Lock(ctx, "acme:"+name, certs.LockTime)
			},
		})
		if err != nil {
			return nil, nil, err
		}
		return acme.TLS(), acme, nil
	}
	return nil, nil, nil
}
