package webhook_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/webhook"
)

// graph is a running local Graph and somebody who has logged in there.
type graph struct {
	*graphsim.Server
	client *http.Client
	token  string
}

func startGraph(t *testing.T) *graph {
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
	g := &graph{Server: sim, client: &http.Client{Transport: transport, Timeout: await.Timeout}}
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {graphsim.DefaultClientID},
		"client_secret": {graphsim.DefaultClientSecret}, "scope": {sim.URL() + "/.default"},
	}
	answer := g.ask(t, http.MethodPost, sim.URL()+"/"+sim.TenantID()+"/oauth2/v2.0/token", "application/x-www-form-urlencoded", form.Encode())
	g.token, _ = answer["access_token"].(string)
	return g
}

// ask makes a call that must succeed.
func (g *graph) ask(t *testing.T, method, target, kind, body string) map[string]any {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", kind)
	request.Header.Set("Authorization", "Bearer "+g.token)
	response, err := g.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode > 299 {
		t.Fatalf("%s %s = %d %s, %v, want success", method, target, response.StatusCode, data, err)
	}
	var answer map[string]any
	if len(data) > 0 && json.Unmarshal(data, &answer) != nil {
		t.Fatalf("%s %s = %s, want an object", method, target, data)
	}
	return answer
}

// send is ask with JSON.
func (g *graph) send(t *testing.T, method, target string, body map[string]any) map[string]any {
	t.Helper()
	var text bytes.Buffer
	if err := json.NewEncoder(&text).Encode(body); err != nil {
		t.Fatal(err)
	}
	return g.ask(t, method, target, "application/json", text.String())
}

// TestResourceDataOfTheLocalGraph goes the whole way: Graph encrypts, signs and
// delivers, the pair is rotated by PATCH, and no notification is lost.
func TestResourceDataOfTheLocalGraph(t *testing.T) {
	g := startGraph(t)
	pair := newFiles(t).write(t, firstKey(), time.Hour)
	certificates := load(t, pair)
	tokens := check(t, webhook.TokensConfig{
		AuthorityHost: g.URL(), TenantID: g.TenantID(), ClientID: graphsim.DefaultClientID, Transport: g.client.Transport,
	})
	b := newInbox()
	service := httptest.NewServer(trusting(t, b, tokens, certificates))
	t.Cleanup(service.Close)

	control := func(method, path string, body map[string]any) map[string]any {
		return g.send(t, method, g.ControlURL()+path, body)
	}
	user := control(http.MethodPost, "/users", map[string]any{"userPrincipalName": "ann@contoso.example"})["id"].(string)
	id, certificate := certificates.Current()
	subscription := g.send(t, http.MethodPost, g.URL()+"/v1.0/subscriptions", map[string]any{
		"changeType": "created,updated,deleted", "resource": "/users/" + user + "/events?$select=id,showAs",
		"notificationUrl": service.URL + webhook.NotificationPath, "lifecycleNotificationUrl": service.URL + webhook.LifecyclePath,
		"expirationDateTime": time.Now().Add(20 * time.Hour).UTC().Format(time.RFC3339), "clientState": keys.Derive(ann, resource),
		"includeResourceData": true, "encryptionCertificate": certificate, "encryptionCertificateId": id,
	})["id"].(string)
	// until waits for verdicts, which are to be the only ones.
	until := func(want tally) {
		t.Helper()
		await.True(t, fmt.Sprintf("verdicts %v", want), func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return maps.Equal(b.verdicts, want)
		})
	}

	change := map[string]any{"collection": "events", "changeType": "updated"}
	control(http.MethodPost, "/users/"+user+"/changes", change)
	until(tally{"accepted": 1})

	old := id
	pair.write(t, secondKey(), time.Hour)
	await.True(t, "the new pair", func() bool {
		id, certificate = certificates.Current()
		return id != old
	})
	g.send(t, http.MethodPatch, g.URL()+"/v1.0/subscriptions/"+subscription, map[string]any{
		"expirationDateTime":    time.Now().Add(21 * time.Hour).UTC().Format(time.RFC3339),
		"encryptionCertificate": certificate, "encryptionCertificateId": id,
	})
	control(http.MethodPost, "/users/"+user+"/changes", change)
	until(tally{"accepted": 2})

	pair.write(t, thirdKey(), time.Hour) // not yet patched: the replaced key still opens
	await.True(t, "the newest pair", func() bool { newest, _ := certificates.Current(); return newest != id })
	control(http.MethodPost, "/users/"+user+"/changes", change)
	until(tally{"accepted": 3})

	control(http.MethodPost, "/subscriptions/"+subscription+"/lifecycle", map[string]any{"event": "missed"})
	until(tally{"accepted": 3, "lifecycle": 1})
}
