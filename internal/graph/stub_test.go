package graph_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/must"
)

// stub is a server that accepts every login and gives answers that graphsim does not.
type stub struct {
	*httptest.Server
	config graph.Config
	logins atomic.Int64
}

// newStub starts a server that answers requests to Graph with answer. Its tokens are
// token-1, token-2 and so on.
func newStub(t testing.TB, answer http.HandlerFunc) *stub {
	t.Helper()
	s := &stub{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /tenant/v2.0/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		base := "https://" + r.Host + "/tenant"
		writeJSON(w, http.StatusOK, `{"issuer":"`+base+`/v2.0","authorization_endpoint":"`+base+`/authorize","token_endpoint":"`+base+`/token"}`)
	})
	mux.HandleFunc("POST /tenant/token", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, fmt.Sprintf(`{"token_type":"Bearer","expires_in":3600,"access_token":"token-%d"}`, s.logins.Add(1)))
	})
	mux.HandleFunc("/v1.0/", answer)
	s.Server = serveTLS(t, mux)
	s.config = graph.Config{
		Endpoint: s.URL, AuthorityHost: s.URL, TenantID: "tenant", ClientID: "client", ClientSecret: "the-secret",
		RootCAs: x509.NewCertPool(),
	}
	s.config.RootCAs.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	return s
}

func serveTLS(t testing.TB, handler http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// serveNobody starts a server that must get no request, and returns its URL.
func serveNobody(t testing.TB) string {
	return serveTLS(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the other host got a request for %s, want none", r.URL)
	})).URL
}

// client returns a client of the stub.
func (s *stub) client(t testing.TB) *graph.Client {
	t.Helper()
	c, err := graph.New(s.config)
	must.NoError(t, err)
	return c
}

// writeJSON answers as Graph does.
func writeJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // a client that disconnected is not an error here
}

// respond returns a handler that always gives the same answer.
func respond(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, status, body) }
}

// graphError returns the body of an error answer.
func graphError(code, message string) string {
	body, err := json.Marshal(map[string]any{"error": map[string]string{"code": code, "message": message}})
	if err != nil {
		panic(err) // two strings
	}
	return string(body)
}

// proxyPage answers with HTML, as a proxy does.
func proxyPage(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<html>"+strings.Repeat("Blocked. ", 10)+"</html>")
	}
}
