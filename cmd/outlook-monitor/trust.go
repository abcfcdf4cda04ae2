package main

import (
	"crypto/tls"
	"net/http"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/webhook"
)

// openTrust makes what notifications are judged by beside their clientState.
func (s *service) openTrust() (err error) {
	settings := s.cfg.settings
	if g := settings.Graph; g.TenantID != "" && g.ClientID != "" {
		s.tokens, err = webhook.NewTokens(webhook.TokensConfig{
			AuthorityHost: s.graph.AuthorityHost(), TenantID: g.TenantID, ClientID: g.ClientID, Log: s.log,
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.cfg.roots},
				TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 5 * time.Second, IdleConnTimeout: time.Minute,
			},
		})
		if err != nil {
			return err
		}
	}
	if len(settings.EncryptionCertFiles) == 0 {
		return nil
	}
	s.sealed, err = webhook.NewCertificates(settings.EncryptionCertFiles, settings.EncryptionKeyFiles, s.log)
	if err != nil {
		return usage{"outlook-monitor: " + err.Error()}
	}
	s.metrics.WatchExpiry("encryption", s.sealed.Expires)
	return nil
}

// certificate is what resource data is encrypted for; zero: none is asked for.
func (s *service) certificate() (ooo.Certificate, error) {
	if s.sealed == nil {
		return ooo.Certificate{}, nil
	}
	id, certificate := s.sealed.Current()
	return ooo.Certificate{ID: id, Base64: certificate}, nil
}
