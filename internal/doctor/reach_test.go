package doctor_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/certtest"
	"outlook-monitor/internal/doctor"
	"outlook-monitor/internal/must"
)

// startTLS starts a server with a self-signed certificate for a host or an IP address.
func startTLS(t *testing.T, host string, expires time.Time, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	certificate, err := tls.LoadX509KeyPair(certtest.Files(t, certtest.Key(t), host, expires))
	must.NoError(t, err)
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes are expected
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

func TestConnections(t *testing.T) {
	year := time.Now().Add(365 * 24 * time.Hour)
	good := startTLS(t, "127.0.0.1", year, serve)
	wrongHost := startTLS(t, "elsewhere.example", year, serve)
	expired := startTLS(t, "127.0.0.1", time.Now().Add(-24*time.Hour), serve)
	expiring := startTLS(t, "127.0.0.1", time.Now().Add(time.Hour), serve)
	minuteAhead := "Date: " + time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)
	ahead := startTLS(t, "127.0.0.1", year, reply{200, minuteAhead, ""}.ServeHTTP)
	aborting := startTLS(t, "127.0.0.1", year, reply{}.ServeHTTP)
	refusing := startTLS(t, "127.0.0.1", year, serve)
	refusing.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, io.EOF }
	plain := newFixture(t).env["PUBLIC_URL"]
	silent := httptest.NewUnstartedServer(nil) // listens, but never responds
	t.Cleanup(func() { _ = silent.Listener.Close() })
	for name, tt := range map[string]struct {
		url           string
		trust         *httptest.Server
		status        doctor.Status
		found, remedy string // of the Graph check
		public        string // remedy of the public URL check
	}{
		"ok":                             {good.URL, good, doctor.OK, "TLS 1.3, certificate by test authority", "", ""},
		"clock drift":                    {ahead.URL, ahead, doctor.Warning, "this machine's clock is", "over the network", "check where"},
		"nothing listens":                {"https://127.0.0.1:1", good, doctor.Failed, "refuses the connection", "firewall", "correct the port"},
		"unknown host":                   {"https://nowhere.invalid", good, doctor.Failed, "nowhere.invalid", "DNS", "DNS"},
		"untrusted certificate":          {good.URL, wrongHost, doctor.Failed, `does not trust the certificate of ` + strings.TrimPrefix(good.URL, "https://") + `, issued by "test authority"`, "proxy", "public authority"},
		"certificate of another host":    {wrongHost.URL, wrongHost, doctor.Failed, "IP SANs", "proxy", "certificate for the host"},
		"expired certificate":            {expired.URL, expired, doctor.Failed, "certificate has expired", "clock", "renew"},
		"certificate expires in an hour": {expiring.URL, expiring, doctor.OK, "TLS 1.3", "", "renew it: Graph does not accept an expired one"},
		"no TLS":                         {strings.Replace(plain, "http:", "https:", 1), good, doctor.Failed, "does not speak TLS", "port", "terminate TLS"},
		"no response":                    {"https://" + silent.Listener.Addr().String(), good, doctor.Failed, "does not answer in time", "firewall", "open the port"},
		"handshake refused":              {refusing.URL, refusing, doctor.Failed, "refuses the TLS handshake", "let this machine reach it", "proxy's log"},
		"connection closed":              {aborting.URL, aborting, doctor.Failed, "closes the connection", "let this machine reach it", "proxy's log"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.cfg.Login.Endpoint, f.cfg.Roots = tt.url, x509.NewCertPool()
			f.cfg.Roots.AddCert(tt.trust.Certificate())
			f.env["PUBLIC_URL"] = tt.url
			results := map[string]doctor.Result{}
			f.cfg.OnResult = func(r doctor.Result) { results[r.Name] = r }
			f.run()
			wantResult(t, results["Graph"], tt.status, tt.found, tt.remedy)
			public := results["public URL"]
			if tt.url == expiring.URL {
				wantResult(t, public, doctor.Warning, "the certificate expires", tt.public)
			}
			if !strings.Contains(public.Remedy, tt.public) || (tt.public == "") != (public.Status == doctor.OK) {
				t.Errorf("public URL = %+v, want the remedy %q", public, tt.public)
			}
		})
	}
}

func TestCertificateExpiry(t *testing.T) {
	day := 24 * time.Hour
	left := func(d time.Duration) func(*fixture) {
		return func(f *fixture) {
			f.env["TLS_CERT_FILE"], f.env["TLS_KEY_FILE"] = certtest.Files(f.t, certtest.Key(f.t), "127.0.0.1", time.Now().Add(d))
		}
	}
	wantFindings(t, map[string]finding{
		"in a year":   {left(365*day + time.Hour), "certificates", doctor.OK, "in 365 days", ""},
		"in ten days": {left(10*day + time.Hour), "certificates", doctor.Warning, "in 10 days", "renew"},
		"in an hour":  {left(time.Hour), "certificates", doctor.Warning, " minutes", "renew"},
		"yesterday":   {left(-day), "certificates", doctor.Failed, "expired", "renew"},
	})
}

// TestLoginCertificate uses test data of package graph, whose tests have other certificates.
func TestLoginCertificate(t *testing.T) {
	f := newFixture(t)
	f.env["AZURE_CLIENT_SECRET"], f.env["AZURE_CLIENT_CERTIFICATE_PATH"] = "", "../graph/testdata/openssl3.p12"
	f.env["AZURE_CLIENT_CERTIFICATE_PASSWORD"] = "open-sesame"
	wantResult(t, f.check("credential expiry"), doctor.OK, "expires 2126", "")
	f.env["AZURE_CLIENT_CERTIFICATE_PASSWORD"] = "sesame"
	wantResult(t, f.check("credential expiry"), doctor.Failed, "does not open", "PEM with an unencrypted key, or PKCS#12 with AZURE_CLIENT_CERTIFICATE_PASSWORD")
	wantResult(t, f.check("login"), doctor.Skipped, "because credential expiry failed", "")
}
