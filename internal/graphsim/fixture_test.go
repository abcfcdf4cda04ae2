package graphsim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/certtest"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/graphtest"
)

// fixture is a running simulator and a client that has logged in.
type fixture struct {
	graphtest.Graph
	client *http.Client
	token  string
}

// answer is an HTTP response.
type answer struct {
	request string
	status  int
	header  http.Header
	raw     []byte
	body    map[string]any
}

// want checks the status and the code of the error, which is empty if there is none.
func (a answer) want(t testing.TB, status int, code string) {
	t.Helper()
	if a.status != status || a.code() != code {
		t.Errorf("%s = %d %s, want %d %s", a.request, a.status, a.raw, status, code)
	}
	if status == 429 && a.header.Get("Retry-After") == "" {
		t.Errorf("%s = 429 without Retry-After", a.request)
	}
}

func (a answer) code() string    { return a.errorText("code") }
func (a answer) message() string { return a.errorText("message") }

// errorText returns a property of the Graph error.
func (a answer) errorText(property string) string {
	e, _ := a.body["error"].(map[string]any)
	text, _ := e[property].(string)
	return text
}

func start(t testing.TB, cfg graphsim.Config) *fixture {
	t.Helper()
	g := graphtest.Start(t, cfg)
	f := &fixture{Graph: g, client: certtest.Client(t, string(g.CAPEM()))}
	f.token = f.login()
	return f
}

// send sends a request.
func (f *fixture) send(method, target string, header http.Header, body []byte) answer {
	f.T.Helper()
	a, err := f.trySend(f.T.Context(), method, target, header, body)
	f.Must(err)
	return a
}

func (f *fixture) trySend(ctx context.Context, method, target string, header http.Header, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	if resp.TLS != nil && resp.ProtoMajor != 2 {
		f.T.Errorf("%s %s = %s, want HTTP/2", method, target, resp.Proto)
	}
	raw, err := io.ReadAll(resp.Body)
	a := answer{request: method + " " + target, status: resp.StatusCode, header: resp.Header, raw: raw}
	_ = json.Unmarshal(raw, &a.body) // leaves body nil if it is not an object
	return a, err
}

func (f *fixture) tokenForm() url.Values {
	return url.Values{
		"grant_type": {"client_credentials"}, "client_id": {graphsim.DefaultClientID},
		"client_secret": {graphsim.DefaultClientSecret}, "scope": {f.URL() + "/.default"},
	}
}

func (f *fixture) tokenURL() string { return f.URL() + "/" + f.TenantID() + "/oauth2/v2.0/token" }

func (f *fixture) postForm(form url.Values) answer {
	f.T.Helper()
	return f.send("POST", f.tokenURL(), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(form.Encode()))
}

func (f *fixture) login() string {
	f.T.Helper()
	token, err := graphtest.Token(f.client, f.tokenURL(), f.URL(), graphsim.DefaultClientID, graphsim.DefaultClientSecret)
	f.Must(err)
	return token
}

func (f *fixture) header() http.Header {
	return http.Header{"Authorization": {"Bearer " + f.token}, "Content-Type": {"application/json"}}
}

// graph calls Graph with the token. body may be nil, a string, or a value to encode as JSON.
func (f *fixture) graph(method, path string, body any) answer {
	f.T.Helper()
	return f.send(method, f.URL()+"/v1.0"+path, f.header(), encode(body))
}

func encode(body any) []byte {
	switch b := body.(type) {
	case nil:
		return nil
	case string:
		return []byte(b)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		panic(err) // tests pass plain maps only
	}
	return raw
}

func (f *fixture) addUser(upn string) graphsim.User {
	f.T.Helper()
	return f.AddUser(graphsim.User{UserPrincipalName: upn})
}

// setOut enables a user's automatic replies, with a calendar block.
func (f *fixture) setOut(u graphsim.User) {
	f.T.Helper()
	f.SetReplies(u.ID, graphsim.AutomaticRepliesUpdate{Status: new("alwaysEnabled"), CalendarBlock: true})
}

const repliesPath = "/mailboxSettings/automaticRepliesSetting"

// read reads a user's automatic replies.
func (f *fixture) read(u graphsim.User) answer {
	f.T.Helper()
	return f.graph("GET", "/users/"+u.ID+repliesPath, nil)
}

// subscribe creates a subscription to the user's events and returns its id.
func (f *fixture) subscribe(user graphsim.User, hook *hook, life time.Duration) string {
	f.T.Helper()
	a := f.graph("POST", "/subscriptions", subscription(user, hook, life))
	if a.status != http.StatusCreated {
		f.T.Fatalf("POST /subscriptions = %d %s", a.status, a.raw)
	}
	return a.body["id"].(string)
}

func subscription(user graphsim.User, hook *hook, life time.Duration) map[string]any {
	return map[string]any{
		"changeType":               "created,updated,deleted",
		"notificationUrl":          hook.URL + "/notify?tag=a",
		"lifecycleNotificationUrl": hook.URL + "/lifecycle",
		"resource":                 "users/" + user.ID + "/events",
		"expirationDateTime":       time.Now().Add(life).UTC().Format(time.RFC3339Nano),
		"clientState":              "state of " + user.UserPrincipalName,
	}
}

// hook receives notifications.
type hook struct {
	*httptest.Server

	mu         sync.Mutex
	handshakes []*http.Request    // guarded by mu
	posts      [][]map[string]any // items by POST; guarded by mu
	paths      []string           // of the posts; guarded by mu
	statuses   []int              // of the next answers, or hang; then 202; guarded by mu
}

// hang stands for no answer until the sender gives up.
const hang = -1

func newHook(t testing.TB) *hook {
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(h.serve))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) serve(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if token := r.URL.Query().Get("validationToken"); token != "" {
		h.handshakes = append(h.handshakes, r)
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, token)
		return
	}
	var collection struct {
		Value []map[string]any `json:"value"`
	}
	if err := json.NewDecoder(r.Body).Decode(&collection); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	h.posts = append(h.posts, collection.Value)
	h.paths = append(h.paths, r.URL.Path)
	status := http.StatusAccepted
	if len(h.statuses) > 0 {
		status, h.statuses = h.statuses[0], h.statuses[1:]
	}
	if status == hang {
		select {
		case <-r.Context().Done():
		case <-time.After(await.Timeout): // or closing the hook would wait for ever
		}
		return
	}
	w.WriteHeader(status)
}

// items returns all items received so far.
func (h *hook) items() []map[string]any {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []map[string]any
	for _, p := range h.posts {
		all = append(all, p...)
	}
	return all
}

// waitFor waits for n items and fails if more have arrived by then.
func (h *hook) waitFor(t testing.TB, n int) []map[string]any {
	t.Helper()
	await.True(t, "the items arrive", func() bool { return len(h.items()) >= n })
	items := h.items()
	if len(items) != n {
		t.Fatalf("received %d items, want %d: %v", len(items), n, items)
	}
	return items
}
