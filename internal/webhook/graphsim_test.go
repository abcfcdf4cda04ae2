package webhook_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/webhook"
)

// graphServer is a local Graph and a client that has logged in.
type graphServer struct {
	*graphsim.Server
	client *http.Client
	token  string
}

func startGraph(t *testing.T) *graphServer {
	t.Helper()
	sim, err := graphsim.New(graphsim.Config{})
	if err != nil {
		t.Fatal(err)
	}
	await.Run(t, sim.Run)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(sim.CAPEM())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	g := &graphServer{Server: sim, client: &http.Client{Transport: transport, Timeout: await.Timeout}}
	g.token, _ = g.call(t, http.MethodPost, "/"+sim.TenantID()+"/oauth2/v2.0/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {graphsim.DefaultClientID},
		"client_secret": {graphsim.DefaultClientSecret}, "scope": {sim.URL() + "/.default"},
	})["access_token"].(string)
	return g
}

// call sends a form or JSON, and fails the test unless the call succeeds.
func (g *graphServer) call(t *testing.T, method, path string, body any) (answer map[string]any) {
	t.Helper()
	contentType, text := "application/json", []byte(nil)
	if form, ok := body.(url.Values); ok {
		contentType, text = "application/x-www-form-urlencoded", []byte(form.Encode())
	} else {
		text, _ = json.Marshal(body) // Graph rejects an empty body
	}
	request, err := http.NewRequestWithContext(t.Context(), method, g.URL()+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("Authorization", "Bearer "+g.token)
	response, err := g.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode > 299 || json.Unmarshal(data, &answer) != nil {
		t.Fatalf("%s %s = %d %s, %v, want success and an object", method, path, response.StatusCode, data, err)
	}
	return answer
}

// TestResourceDataFromGraph makes the local Graph encrypt, sign and send notifications
// while the certificate is rotated: none may be lost.
func TestResourceDataFromGraph(t *testing.T) {
	g := startGraph(t)
	pair := newFiles(t).write(t, key1(), time.Hour)
	certificates := loadCertificates(t, pair)
	tokens := runTokens(t, webhook.TokensConfig{
		AuthorityHost: g.URL(), TenantID: g.TenantID(), ClientID: graphsim.DefaultClientID, Transport: g.client.Transport,
	})
	s := newHintStore()
	service := httptest.NewServer(newVerifyingHandler(t, s, tokens, certificates))
	t.Cleanup(service.Close)
	user, err := g.AddUser(graphsim.User{UserPrincipalName: "ann@contoso.example"})
	if err != nil {
		t.Fatal(err)
	}
	id, certificate := certificates.Current()
	subscription, _ := g.call(t, http.MethodPost, "/v1.0/subscriptions", map[string]any{
		"changeType": "created,updated,deleted", "resource": "/users/" + user.ID + "/events?$select=id,showAs",
		"notificationUrl": service.URL + webhook.NotificationPath, "lifecycleNotificationUrl": service.URL + webhook.LifecyclePath,
		"expirationDateTime": time.Now().Add(20 * time.Hour).UTC().Format(time.RFC3339), "clientState": keys.Derive(ann, resource),
		"includeResourceData": true, "encryptionCertificate": certificate, "encryptionCertificateId": id,
	})["id"].(string)
	waitFor := func(want counts) {
		t.Helper()
		await.True(t, fmt.Sprintf("verdicts %v", want), func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return maps.Equal(s.verdicts, want)
		})
	}
	change := func(want counts) {
		t.Helper()
		if err := g.Touch(user.ID, "events", "updated"); err != nil {
			t.Fatal(err)
		}
		waitFor(want)
	}
	rotate := func(key *rsa.PrivateKey) {
		t.Helper()
		old := id
		pair.write(t, key, time.Hour)
		await.True(t, "the new pair", func() bool {
			id, certificate = certificates.Current()
			return id != old
		})
	}
	change(counts{"accepted": 1})

	rotate(key2())
	g.call(t, http.MethodPatch, "/v1.0/subscriptions/"+subscription, map[string]any{
		"expirationDateTime":    time.Now().Add(21 * time.Hour).UTC().Format(time.RFC3339),
		"encryptionCertificate": certificate, "encryptionCertificateId": id,
	})
	change(counts{"accepted": 2})

	rotate(key3()) // the subscription still uses the replaced pair
	change(counts{"accepted": 3})

	if err := g.SendLifecycle(subscription, graphsim.Missed); err != nil {
		t.Fatal(err)
	}
	waitFor(counts{"accepted": 3, "lifecycle": 1})
}
