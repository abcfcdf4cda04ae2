package deliver_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"outlook-monitor/internal/deliver"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/programtest"
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

// listener is a mediator on a real server that records each request.
type listener struct {
	url string
	mu  sync.Mutex
	got []request // guarded by mu
}

func listen(t *testing.T, handle http.HandlerFunc) *listener {
	t.Helper()
	l := &listener{}
	l.url = programtest.Serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read the request: %v", err)
		}
		l.mu.Lock()
		l.got = append(l.got, request{r.Method, r.URL.RequestURI(), r.Header.Clone(), string(body)})
		l.mu.Unlock()
		handle(rw, r)
	}))
	return l
}

func (l *listener) requests() []request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.got)
}

func succeed(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, `{"result":"True"}`) }

func ready() bool { return true }

// traced wraps the body as the tracing transport does, which makes net/http send the
// headers before it reads the body.
type traced struct{ http.RoundTripper }

func (t traced) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.User != nil {
		return nil, errors.New("the URL has a user, which traces would show")
	}
	r = r.Clone(r.Context())
	r.Body = struct{ io.ReadCloser }{r.Body}
	return t.RoundTripper.RoundTrip(r)
}

// newMediator returns the mediator at a base URL; token may be empty.
func newMediator(t *testing.T, base, token string, secrets ...string) *deliver.Mediator {
	t.Helper()
	u, _ := url.Parse(base) // NewMediator refuses nil
	m, err := deliver.NewMediator(deliver.MediatorConfig{
		URL: u, Token: token, SigningSecrets: secrets, Transport: traced{deliver.NewTransport()}})
	must.NoError(t, err)
	return m
}

func TestSetStatusRequest(t *testing.T) {
	for name, tt := range map[string]struct {
		address string
		state   ooo.State
		want    string
	}{
		"away":                {"Ann@Contoso.example", away, `{"email":"Ann@Contoso.example","status":"True","message":"Back on Monday."}`},
		"back with a message": {"a@b", back, `{"email":"a@b","status":"False","message":"old"}`},
		"no message":          {"a@b", ooo.State{}, `{"email":"a@b","status":"False","message":""}`},
		"HTML characters": {"o'neil&co@b", ooo.State{Message: `Tom & "Ann" <3 > 2`},
			`{"email":"o'neil&co@b","status":"False","message":"Tom & \"Ann\" <3 > 2"}`},
	} {
		t.Run(name, func(t *testing.T) {
			l := listen(t, succeed)
			newMediator(t, l.url+"/voice/", "").SetStatus(t.Context(), deliver.Status{Address: tt.address, State: tt.state, WebhookID: "msg_1", Ready: ready})
			got := l.requests()
			if len(got) != 1 || got[0].body != tt.want {
				t.Fatalf("requests = %+v, want one with the body %s", got, tt.want)
			}
			header := got[0].header
			if got[0].method != http.MethodPost || got[0].path != "/voice/api/setstatus" || header.Get("Content-Type") != "application/json" {
				t.Errorf("request = %+v, want POST /voice/api/setstatus application/json", got[0])
			}
			_, signed := header["Webhook-Signature"]
			_, authorized := header["Authorization"]
			if signed || authorized || header.Get("Webhook-Id") != "msg_1" || header.Get("Webhook-Timestamp") == "" ||
				header.Get("User-Agent") != "outlook-monitor" {
				t.Errorf("headers = %v, want id, timestamp and user agent, but no signature and no authorization", header)
			}
		})
	}
}

func TestEachSecretSigns(t *testing.T) {
	l := listen(t, succeed)
	m := newMediator(t, l.url, "", firstSecret, secondSecret)
	m.SetStatus(t.Context(), deliver.Status{Address: "a@b", State: away, WebhookID: "msg_epoch_1", Ready: ready})
	got := l.requests()[0]
	for secret, want := range map[string]bool{firstSecret: true, secondSecret: true, "whsec_c29tZW9uZSBlbHNl": false} {
		verifier, err := standardwebhooks.NewWebhook(secret)
		must.NoError(t, err)
		if err := verifier.Verify([]byte(got.body), got.header); (err == nil) != want {
			t.Errorf("Verify with %s = %v, want verified %t", secret, err, want)
		}
		if err := verifier.Verify([]byte(got.body+" "), got.header); err == nil {
			t.Error("Verify of another body = nil, want an error")
		}
	}
}

func TestNewMediatorErrors(t *testing.T) {
	_, err := deliver.NewMediator(deliver.MediatorConfig{URL: exampleURL, SigningSecrets: []string{"whsec_%%%hush"}})
	if err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("NewMediator = %v, want an error without the secret", err)
	}
	if _, err := deliver.NewMediator(deliver.MediatorConfig{}); err == nil {
		t.Error("NewMediator without a URL = nil, want an error")
	}
}

func TestAuthorization(t *testing.T) {
	for name, tt := range map[string]struct {
		user, token, want string
	}{
		"user and password":       {"ann:p%40ss@", "", "Basic YW5uOnBAc3M="},
		"user without a password": {"ann@", "", "Basic YW5uOg=="},
		"token and user":          {"ann:pass@", "tok", "Bearer tok"},
	} {
		t.Run(name, func(t *testing.T) {
			l := listen(t, succeed)
			m := newMediator(t, strings.Replace(l.url, "http://", "http://"+tt.user, 1), tt.token)
			m.SetStatus(t.Context(), deliver.Status{Ready: ready})
			must.NoError(t, m.Setup(t.Context()))
			for _, r := range l.requests() {
				if got := r.header.Get("Authorization"); got != tt.want {
					t.Errorf("%s %s: Authorization = %q, want %q", r.method, r.path, got, tt.want)
				}
			}
		})
	}
}

func TestRequestIsHeldBackUnlessReady(t *testing.T) {
	l := listen(t, succeed)
	for _, size := range []int{1, 100_000} {
		m := newMediator(t, l.url, "")
		state := ooo.State{Away: true, Message: strings.Repeat("x", size)}
		before := len(l.requests())
		for _, ready := range []bool{false, true, false, true} { // on new connections and an idle one
			m.SetStatus(t.Context(), deliver.Status{State: state, Ready: func() bool { return ready }})
		}
		if got := len(l.requests()) - before; got != 2 {
			t.Errorf("%d requests received with %d bytes, want the two that were ready", got, size)
		}
	}
}

func withSecret(url string) string { return strings.Replace(url, "http://", "http://user:hush@", 1) }

func containsSecret(err error) bool {
	return strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "user:")
}

func TestReach(t *testing.T) {
	closed := "http://" + programtest.FreeAddress(t)
	if err := newMediator(t, withSecret(closed), "").Reach(t.Context()); err == nil || containsSecret(err) {
		t.Errorf("Reach of a closed port = %v, want an error without the secret", err)
	}
	target := listen(t, succeed)
	for code, reached := range map[int]bool{
		200: true, 301: true, 302: true, 303: true, 307: true, 308: true, 401: true, 404: true, 405: true, 500: false, 501: true, 503: false,
	} {
		l := listen(t, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Location", target.url)
			rw.WriteHeader(code)
		})
		if err := newMediator(t, l.url, "").Reach(t.Context()); (err == nil) != reached {
			t.Errorf("Reach at %d = %v, want reached %t", code, err, reached)
		}
		if r := l.requests()[0]; r.method != http.MethodGet || r.path != "/" {
			t.Errorf("request = %s %s, want GET /", r.method, r.path)
		}
	}
	if followed := target.requests(); len(followed) != 0 {
		t.Errorf("requests after redirects = %+v, want none", followed)
	}
}

func TestSetup(t *testing.T) {
	answer := func(code int, body string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(code)
			_, _ = io.WriteString(rw, body)
		}
	}
	for name, tt := range map[string]struct {
		setup http.HandlerFunc
		ok    bool
	}{
		"True":             {answer(200, `{"result":"True"}`), true},
		"bool, other code": {answer(201, `{"result":true}`), true},
		"False":            {answer(200, `{"result":"False"}`), false},
		"other result":     {answer(200, `{"result":"hush"}`), false},
		"no result":        {answer(200, `{"status":"True"}`), false},
		"not JSON":         {answer(200, `True`), false},
		"500":              {answer(500, `{"result":"True","from":"hush"}`), false},
		"redirect to an invalid URL": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Location", "http://user:hush@%zz/")
			rw.WriteHeader(http.StatusFound)
		}, false},
		"answer that breaks off": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false},
		"malformed header": {func(rw http.ResponseWriter, _ *http.Request) {
			conn, _, _ := rw.(http.Hijacker).Hijack()
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nhush\r\n\r\n")
			_ = conn.Close()
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := listen(t, func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/" {
					tt.setup(rw, r)
				}
			})
			err := newMediator(t, withSecret(l.url), "").Setup(t.Context())
			if (err == nil) != tt.ok || !tt.ok && (containsSecret(err) || strings.Contains(err.Error(), "EOF")) {
				t.Errorf("Setup = %v, want success %t, and an error in words, with neither secret nor body", err, tt.ok)
			}
			got := l.requests()
			if len(got) != 2 || got[1].method != http.MethodPost || got[1].path != "/api/setup" || got[1].body != "" {
				t.Errorf("requests = %+v, want GET / and POST /api/setup without a body", got)
			}
		})
	}
}
