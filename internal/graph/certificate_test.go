package graph_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

func TestGrantSaysWhatTheTokenAllows(t *testing.T) {
	t.Parallel()
	roles := []string{"MailboxSettings.Read", "User.Read.All"}
	w := newWorld(t, graphsim.Config{Roles: roles, TokenLifetime: 20 * time.Minute})
	got, err := w.idleClient(w.config).Grant(t.Context())
	left := time.Until(got.Expires)
	if err != nil || !got.Readable || !slices.Equal(got.Roles, roles) || left < 10*time.Minute || left > 21*time.Minute {
		t.Errorf("Grant = %+v, %v, want %v for 20 minutes", got, err, roles)
	}
}

func TestLoginCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	for name, tt := range map[string]struct {
		wrong func(*graph.Config)
		want  string
	}{
		"a wrong secret":   {func(c *graph.Config) { c.ClientSecret = "wrong" }, "AADSTS7000215"},
		"an unknown app":   {func(c *graph.Config) { c.ClientID = "other" }, "AADSTS700016"},
		"another tenant":   {func(c *graph.Config) { c.TenantID = "other" }, "AADSTS90002"},
		"all is well":      {func(*graph.Config) {}, ""},
		"a missing file":   {func(c *graph.Config) { c.ClientSecret, c.CertificatePath = "", "/does/not/exist" }, ""},
		"nobody to log in": {func(c *graph.Config) { c.AuthorityHost = "https://127.0.0.1:1" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := w.config
			tt.wrong(&cfg)
			_, err := w.idleClient(cfg).Grant(t.Context())
			if got := graph.LoginCode(err); got != tt.want || (err == nil) != (name == "all is well") {
				t.Errorf("LoginCode(%v) = %q, want %q", err, got, tt.want)
			}
		})
	}
}

func TestWhenTheCertificateEnds(t *testing.T) {
	t.Parallel()
	path := write(t, "login.pem", newCertificate(t))
	ends, err := graph.Config{CertificatePath: path}.CertificateExpires()
	if left := time.Until(ends); err != nil || left < 50*time.Minute || left > time.Hour {
		t.Errorf("CertificateExpires = %v, %v, want within the hour", ends, err)
	}
	for name, cfg := range map[string]graph.Config{
		"there is no such file":     {CertificatePath: path + ".old"},
		"there is no certificate":   {CertificatePath: write(t, "none.pem", []byte("nothing"))},
		"a certificate is not used": {ClientSecret: "x"},
	} {
		if _, err := cfg.CertificateExpires(); err == nil || name != "a certificate is not used" && !errors.Is(err, ooo.ErrUnauthorized) {
			t.Errorf("%s: CertificateExpires = %v, want an error", name, err)
		}
	}
}
