package deliver_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"outlook-monitor/internal/deliver"
	"outlook-monitor/internal/ooo"
)

const (
	firstSecret  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	secondSecret = "whsec_dGhlIG5leHQgc2VjcmV0IG9mIHRoZSB0d28="
)

// request is what came over the wire.
type request struct {
	method, path string
	header       http.Header
	body         string
}

// listener is a mediator behind a real server; it notes each request and answers
// with handle.
type listener struct {
	url string
	mu  sync.Mutex
	got []request // guarded by mu
}

func listen(t *testing.T, handle http.HandlerFunc) *listener {
	t.Helper()
	l := &listener{}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read the request: %v", err)
		}
		l.mu.Lock()
		l.got = append(l.got, request{r.Method, r.URL.RequestURI(), r.Header.Clone(), string(body)})
		l.mu.Unlock()
		handle(rw, r)
	}))
	t.Cleanup(server.Close)
	l.url = server.URL
	return l
}

func (l *listener) requests() []request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]request(nil), l.got...)
}

func fine(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusOK) }

// send makes the mediator and sends it one state.
func send(t *testing.T, cfg deliver.MediatorConfig, status deliver.Status) {
	t.Helper()
	m, err := deliver.NewMediator(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m.SetStatus(t.Context(), status)
}

func TestTheBodyHasThreeStringsAndNothingElse(t *testing.T) {
	tests := map[string]struct {
		status deliver.Status
		want   string
	}{
		"away":                     {deliver.Status{Address: "Ann@Contoso.example", State: away}, `{"email":"Ann@Contoso.example","status":"True","message":"Back on Monday."}`},
		"back, with the text kept": {deliver.Status{Address: "a@b", State: back}, `{"email":"a@b","status":"False","message":"old"}`},
		"without a text":           {deliver.Status{Address: "a@b"}, `{"email":"a@b","status":"False","message":""}`},
		"HTML's characters stay":   {deliver.Status{Address: "o'neil&co@b", State: ooo.State{Message: `Tom & "Ann" <3 > 2`}}, `{"email":"o'neil&co@b","status":"False","message":"Tom & \"Ann\" <3 > 2"}`},
		"other alphabets stay":     {deliver.Status{Address: "a@b", State: ooo.State{Message: "Grüße, 日本"}}, `{"email":"a@b","status":"False","message":"Grüße, 日本"}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := listen(t, fine)
			send(t, deliver.MediatorConfig{URL: mustURL(t, l.url)}, tt.status)
			got := l.requests()
			if len(got) != 1 || got[0].body != tt.want {
				t.Fatalf("requests = %+v, want one with the body %s", got, tt.want)
			}
			if got[0].method != http.MethodPost || got[0].path != "/api/setstatus" || got[0].header.Get("Content-Type") != "application/json" {
				t.Errorf("request = %s %s %s, want POST /api/setstatus application/json", got[0].method, got[0].path, got[0].header.Get("Content-Type"))
			}
		})
	}
}

func TestTheBaseURLMayHaveAPath(t *testing.T) {
	l := listen(t, fine)
	send(t, deliver.MediatorConfig{URL: mustURL(t, l.url+"/voice/")}, deliver.Status{})
	if got := l.requests()[0].path; got != "/voice/api/setstatus" {
		t.Errorf("path = %s, want /voice/api/setstatus", got)
	}
}

func TestEachSecretVerifiesTheSignature(t *testing.T) {
	l := listen(t, fine)
	cfg := deliver.MediatorConfig{URL: mustURL(t, l.url), SigningSecrets: []string{firstSecret, secondSecret}}
	send(t, cfg, deliver.Status{Address: "a@b", State: away, WebhookID: "msg_epoch_1"})
	got := l.requests()[0]
	for _, secret := range cfg.SigningSecrets {
		verifier, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := verifier.Verify([]byte(got.body), got.header); err != nil {
			t.Errorf("Verify = %v, want nil", err)
		}
		if err := verifier.Verify([]byte(got.body+" "), got.header); err == nil {
			t.Error("Verify of another body = nil, want an error")
		}
	}
	if id := got.header.Get("Webhook-Id"); id != "msg_epoch_1" {
		t.Errorf("webhook-id = %q, want the state's", id)
	}
	stranger, err := standardwebhooks.NewWebhook("whsec_c29tZW9uZSBlbHNl")
	if err != nil {
		t.Fatal(err)
	}
	if err := stranger.Verify([]byte(got.body), got.header); err == nil {
		t.Error("Verify with a stranger's secret = nil, want an error")
	}
}

func TestWithoutASecretThereIsNoSignature(t *testing.T) {
	l := listen(t, fine)
	send(t, deliver.MediatorConfig{URL: mustURL(t, l.url)}, deliver.Status{WebhookID: "msg_1"})
	header := l.requests()[0].header
	if _, signed := header["Webhook-Signature"]; signed || header.Get("Webhook-Id") != "msg_1" || header.Get("Webhook-Timestamp") == "" {
		t.Errorf("headers = %v, want id and timestamp alone", header)
	}
	if _, known := header["Authorization"]; known {
		t.Error("Authorization was sent, want none without a token")
	}
}

func TestASecretThatIsNoneIsRefusedWithoutTellingIt(t *testing.T) {
	_, err := deliver.NewMediator(deliver.MediatorConfig{URL: mustURL(t, "http://mediator.example"), SigningSecrets: []string{"whsec_%%%hush"}})
	if err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("NewMediator = %v, want an error without the secret", err)
	}
	if _, err := deliver.NewMediator(deliver.MediatorConfig{}); err == nil {
		t.Error("NewMediator without a URL = nil, want an error")
	}
}

func TestHowTheMediatorKnowsUs(t *testing.T) {
	tests := map[string]struct {
		user, token, want string
	}{
		"by a bearer token":            {"", "tok", "Bearer tok"},
		"by the URL's user":            {"ann:p%40ss@", "", "Basic YW5uOnBAc3M="},
		"by a user without a password": {"ann@", "", "Basic YW5uOg=="},
		"by the token before the user": {"ann:pass@", "tok", "Bearer tok"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := listen(t, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, `{"result":"True"}`) })
			u := mustURL(t, strings.Replace(l.url, "http://", "http://"+tt.user, 1))
			m, err := deliver.NewMediator(deliver.MediatorConfig{URL: u, Token: tt.token})
			if err != nil {
				t.Fatal(err)
			}
			m.SetStatus(t.Context(), deliver.Status{})
			if err := m.Setup(t.Context()); err != nil {
				t.Errorf("Setup = %v, want nil", err)
			}
			for _, r := range l.requests() {
				if got := r.header.Get("Authorization"); got != tt.want {
					t.Errorf("%s %s: Authorization = %q, want %q", r.method, r.path, got, tt.want)
				}
			}
		})
	}
}

func TestNoErrorTellsASecret(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	tests := map[string]string{
		"refused connection": closed.URL,
		"an answer of 500": listen(t, func(rw http.ResponseWriter, _ *http.Request) {
			http.Error(rw, "hush from the body", http.StatusInternalServerError)
		}).url,
		"a redirect to nowhere that can be read": listen(t, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Location", "http://user:hush@%zz/")
			rw.WriteHeader(http.StatusFound)
		}).url,
		"an answer that breaks off": listen(t, func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				panic(http.ErrAbortHandler)
			}
		}).url,
		"an answer that is no result": listen(t, func(rw http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(rw, `{"result":"hush"}`)
		}).url,
	}
	for name, base := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := deliver.NewMediator(deliver.MediatorConfig{
				URL: mustURL(t, strings.Replace(base, "http://", "http://user:hush@", 1)), SigningSecrets: []string{firstSecret}})
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Setup(t.Context()); err == nil || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "user:") {
				t.Errorf("Setup = %v, want an error without secret or body", err)
			}
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, code := range []int{301, 302, 303, 307, 308} {
		elsewhere := listen(t, fine)
		l := listen(t, func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, elsewhere.url, code) })
		send(t, deliver.MediatorConfig{URL: mustURL(t, l.url), Token: "tok"}, deliver.Status{State: away})
		if here, there := len(l.requests()), len(elsewhere.requests()); here != 1 || there != 0 {
			t.Errorf("%d: %d calls here and %d there, want 1 and 0", code, here, there)
		}
	}
}

func TestABodyThatIsHeldBackIsNotReceived(t *testing.T) {
	var whole atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err == nil {
			whole.Add(1)
		}
	}))
	cfg := deliver.MediatorConfig{URL: mustURL(t, server.URL), Transport: deliver.NewTransport()}
	for _, ready := range []bool{false, true, false, true} { // on new connections and on an idle one
		send(t, cfg, deliver.Status{State: away, Ready: func() bool { return ready }})
	}
	server.Close() // once its requests have ended
	if got := whole.Load(); got != 2 {
		t.Errorf("%d bodies received, want the two that were ready", got)
	}
}

func TestReach(t *testing.T) {
	for code, reached := range map[int]bool{200: true, 302: true, 401: true, 404: true, 500: false, 503: false} {
		l := listen(t, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(code) })
		m, err := deliver.NewMediator(deliver.MediatorConfig{URL: mustURL(t, l.url)})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Reach(t.Context()); (err == nil) != reached {
			t.Errorf("Reach at %d = %v, want reached %t", code, err, reached)
		}
		if r := l.requests()[0]; r.method != http.MethodGet || r.path != "/" {
			t.Errorf("request = %s %s, want GET /", r.method, r.path)
		}
	}
}

func TestSetup(t *testing.T) {
	tests := map[string]struct {
		code int
		body string
		fine bool
	}{
		"the mediator's own answer":   {200, `{"result":"True"}`, true},
		"a bool and another code":     {201, `{"result":true}`, true},
		"it could not":                {200, `{"result":"False"}`, false},
		"another answer":              {200, `{"status":"True"}`, false},
		"no JSON":                     {200, `True`, false},
		"an error":                    {500, `{"result":"True"}`, false},
		"a page that was never asked": {302, ``, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := listen(t, func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/" {
					return
				}
				rw.WriteHeader(tt.code)
				_, _ = io.WriteString(rw, tt.body)
			})
			m, err := deliver.NewMediator(deliver.MediatorConfig{URL: mustURL(t, l.url)})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if err := m.Setup(ctx); (err == nil) != tt.fine {
				t.Errorf("Setup = %v, want fine %t", err, tt.fine)
			}
			got := l.requests()
			if len(got) != 2 || got[1].method != http.MethodPost || got[1].path != "/api/setup" || got[1].body != "" {
				t.Errorf("requests = %+v, want GET / and POST /api/setup without a body", got)
			}
		})
	}
}
