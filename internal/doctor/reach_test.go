package doctor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/doctor"
)

// secure starts a server with a certificate of its own making.
func secure(t *testing.T, certificate tls.Certificate, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// issue makes a certificate for 127.0.0.1, or a host, that is its own authority and
// ends then, and its files.
func issue(t *testing.T, host string, ends time.Time) (pair tls.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "made here"}, DNSNames: []string{host}, IPAddresses: []net.IP{net.ParseIP(host)},
		NotBefore: time.Now().Add(-100 * 24 * time.Hour), NotAfter: ends, IsCA: true, BasicConstraintsValid: true,
	}
	if template.IPAddresses[0] == nil {
		template.IPAddresses = nil
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if pair, err = tls.LoadX509KeyPair(certFile, keyFile); err != nil {
		t.Fatal(err)
	}
	return pair, certFile, keyFile
}

// deaf returns an address that takes connections and says nothing.
func deaf(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String()
}

func TestWaysToAHost(t *testing.T) {
	year := time.Now().Add(365 * 24 * time.Hour)
	good, _, _ := issue(t, "127.0.0.1", year)
	elsewhere, _, _ := issue(t, "elsewhere.example", year)
	old, _, _ := issue(t, "127.0.0.1", time.Now().Add(-24*time.Hour))
	well := secure(t, good, serve)
	ahead := secure(t, good, answers(200, "text/plain", "", "Date", time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)))
	gone := httptest.NewTLSServer(nil)
	gone.Close()
	cutting := secure(t, good, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	plain := httptest.NewServer(http.HandlerFunc(serve))
	t.Cleanup(plain.Close)
	stranger := secure(t, elsewhere, serve)
	tests := map[string]struct {
		url           string
		trust         *httptest.Server
		status        doctor.Status
		found, remedy string // of the Graph check
		public        string // remedy of the public URL check
	}{
		"it answers":                   {well.URL, well, doctor.OK, "TLS 1.3, certificate by made here", "", ""},
		"its clock is another one":     {ahead.URL, ahead, doctor.Warning, "this machine's clock is", "over the network", "check where"},
		"nothing listens":              {gone.URL, well, doctor.Failed, "refuses the connection", "firewall", "right port"},
		"the name does not exist":      {"https://nowhere.invalid", well, doctor.Failed, "nowhere.invalid", "DNS", "DNS"},
		"nobody vouches for it":        {well.URL, stranger, doctor.Failed, `does not trust the certificate of ` + strings.TrimPrefix(well.URL, "https://") + `, issued by "made here"`, "proxy", "public authority"},
		"its certificate is another's": {stranger.URL, stranger, doctor.Failed, "IP SANs", "proxy", "certificate for the host"},
		"its certificate has ended":    {secure(t, old, serve).URL, secure(t, old, serve), doctor.Failed, "certificate has expired", "clock", "renew"},
		"it speaks no TLS":             {strings.Replace(plain.URL, "http:", "https:", 1), well, doctor.Failed, "does not speak TLS", "port", "terminate TLS"},
		"it closes the connection":     {cutting.URL, cutting, doctor.Failed, "closes the connection", "firewall", "proxy's log"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.cfg.Endpoint, w.cfg.Roots = tt.url, pool(tt.trust)
			w.env["PUBLIC_URL"] = tt.url
			report := w.run()
			for _, r := range report.Checks {
				switch r.Name {
				case "Graph":
					wants(t, r, tt.status, tt.found, tt.remedy)
				case "public URL":
					if !strings.Contains(r.Remedy, tt.public) || (tt.public == "") != (r.Status == doctor.OK) {
						t.Errorf("public URL = %+v, want the remedy %q", r, tt.public)
					}
				}
			}
		})
	}
}

func TestAHostThatSaysNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.Endpoint = "https://" + deaf(t)
	wants(t, w.check("Graph"), doctor.Failed, "does not answer in time", "firewall")
}

func TestThePublicCertificateEndsSoon(t *testing.T) {
	pair, _, _ := issue(t, "127.0.0.1", time.Now().Add(time.Hour))
	server := secure(t, pair, serve)
	w := newWorld(t)
	w.cfg.Roots, w.env["PUBLIC_URL"] = pool(server), server.URL
	wants(t, w.check("public URL"), doctor.Warning, "the certificate expires", "renew it")
}

func TestCertificatesThatEnd(t *testing.T) {
	day := 24 * time.Hour
	tests := map[string]struct {
		left          time.Duration
		status        doctor.Status
		found, remedy string
	}{
		"in a year":   {365*day + time.Hour, doctor.OK, "in 365 days", ""},
		"in ten days": {10*day + time.Hour, doctor.Warning, "in 10 days", "renew"},
		"in an hour":  {time.Hour, doctor.Warning, " minutes", "renew"},
		"yesterday":   {-day, doctor.Failed, "expired", "renew"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, w.env["TLS_CERT_FILE"], w.env["TLS_KEY_FILE"] = issue(t, "127.0.0.1", time.Now().Add(tt.left))
			wants(t, w.check("certificates"), tt.status, tt.found, tt.remedy)
		})
	}
}

// TestLoginCertificates uses the files that package graph is tested with. They end in
// 2126, and their password is open-sesame.
func TestLoginCertificates(t *testing.T) {
	tests := map[string]struct {
		file, password string
		status         doctor.Status
		found, remedy  string
	}{
		"PEM beside a password":  {"plain.pem", "open-sesame", doctor.OK, "expires 2126", ""},
		"PKCS#12 of OpenSSL 3":   {"openssl3.p12", "open-sesame", doctor.OK, "expires 2126", ""},
		"PKCS#12 of keytool":     {"keytool.p12", "open-sesame", doctor.OK, "expires 2126", ""},
		"a wrong password":       {"openssl3.p12", "sesame", doctor.Failed, "does not open", "AZURE_CLIENT_CERTIFICATE_PASSWORD"},
		"an encrypted key":       {"encrypted.pem", "open-sesame", doctor.Failed, "is encrypted: decrypt it with openssl pkey", "PEM with an unencrypted key"},
		"an older encrypted key": {"encrypted-rsa.pem", "", doctor.Failed, "PKCS#12 with openssl pkcs12 -export", "or PKCS#12"},
		"no certificate":         {"../certificate.go", "", doctor.Failed, "neither PEM nor PKCS#12", "PEM with an unencrypted key"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.env["AZURE_CLIENT_SECRET"] = ""
			w.env["AZURE_CLIENT_CERTIFICATE_PATH"], w.env["AZURE_CLIENT_CERTIFICATE_PASSWORD"] = "../graph/testdata/"+tt.file, tt.password
			wants(t, w.check("credential expiry"), tt.status, tt.found, tt.remedy)
			if tt.status == doctor.Failed {
				wants(t, w.check("login"), doctor.Skipped, "because credential expiry failed", "")
			}
		})
	}
}
