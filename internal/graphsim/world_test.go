package graphsim_test

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/graphsim"
)

// world is a running simulator and a client that has logged in.
type world struct {
	*graphsim.Server
	t      testing.TB
	client *http.Client
	token  string
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

// code is the code of a Graph error.
func (a answer) code() string {
	e, _ := a.body["error"].(map[string]any)
	code, _ := e["code"].(string)
	return code
}

func (a answer) message() string {
	e, _ := a.body["error"].(map[string]any)
	message, _ := e["message"].(string)
	return message
}

func start(t testing.TB, cfg graphsim.Config) *world {
	t.Helper()
	s, err := graphsim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	await.Run(t, s.Run)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CAPEM())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections) // or stopping waits a second for each
	w := &world{Server: s, t: t, client: &http.Client{Transport: transport, Timeout: await.Timeout}}
	w.token = w.login()
	return w
}

// ask sends a request with everything given by the caller.
func (w *world) ask(method, target string, header http.Header, body []byte) answer {
	w.t.Helper()
	a, err := w.try(method, target, header, body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, target, err)
	}
	return a
}

func (w *world) try(method, target string, header http.Header, body []byte) (answer, error) {
	req, err := http.NewRequest(method, target, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	a := answer{status: resp.StatusCode, header: resp.Header, raw: raw}
	_ = json.Unmarshal(raw, &a.body) // not all answers are objects
	return a, err
}

func (w *world) tokenForm() url.Values {
	return url.Values{
		"grant_type": {"client_credentials"}, "client_id": {graphsim.DefaultClientID},
		"client_secret": {graphsim.DefaultClientSecret}, "scope": {w.URL() + "/.default"},
	}
}

func (w *world) tokenURL() string { return w.URL() + "/" + w.TenantID() + "/oauth2/v2.0/token" }

func (w *world) postForm(form url.Values) answer {
	w.t.Helper()
	return w.ask("POST", w.tokenURL(), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(form.Encode()))
}

func (w *world) login() string {
	w.t.Helper()
	a := w.postForm(w.tokenForm())
	token, _ := a.body["access_token"].(string)
	if token == "" {
		w.t.Fatalf("login = %d %s, want a token", a.status, a.raw)
	}
	return token
}

func (w *world) header() http.Header {
	return http.Header{"Authorization": {"Bearer " + w.token}, "Content-Type": {"application/json"}}
}

// graph calls Graph with the token; body may be nil, a string or anything that
// is to be JSON.
func (w *world) graph(method, path string, body any) answer {
	w.t.Helper()
	return w.ask(method, w.URL()+"/v1.0"+path, w.header(), encode(body))
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
		panic(err) // the tests' own maps
	}
	return raw
}

func (w *world) user(upn string) graphsim.User {
	w.t.Helper()
	u, err := w.AddUser(graphsim.User{UserPrincipalName: upn})
	w.must(err)
	return u
}

func (w *world) users(count int) []graphsim.User {
	w.t.Helper()
	users, err := w.AddUsers(count, "contoso.example")
	w.must(err)
	return users
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) mailbox(u graphsim.User, m graphsim.Mailbox) {
	w.t.Helper()
	w.must(w.SetMailbox(u.ID, m))
}

func (w *world) set(u graphsim.User, update graphsim.AutomaticRepliesUpdate) {
	w.t.Helper()
	_, err := w.SetAutomaticReplies(u.ID, update)
	w.must(err)
}

// setOut switches a user's replies on, with the block in the calendar.
func (w *world) setOut(u graphsim.User) {
	w.t.Helper()
	w.set(u, graphsim.AutomaticRepliesUpdate{Status: new("alwaysEnabled"), CalendarBlock: true})
}

const repliesPath = "/mailboxSettings/automaticRepliesSetting"

// read reads a user's automatic replies.
func (w *world) read(u graphsim.User) answer {
	w.t.Helper()
	return w.graph("GET", "/users/"+u.ID+repliesPath, nil)
}

func (w *world) fault(f graphsim.Fault) {
	w.t.Helper()
	_, err := w.SetFault(f)
	w.must(err)
}

// subscribe makes a subscription to the user's events and returns its id.
func (w *world) subscribe(user graphsim.User, hook *hook, life time.Duration) string {
	w.t.Helper()
	a := w.graph("POST", "/subscriptions", subscription(user, hook, life))
	if a.status != http.StatusCreated {
		w.t.Fatalf("POST /subscriptions = %d %s", a.status, a.raw)
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

// hook is a receiver of notifications.
type hook struct {
	*httptest.Server

	mu         sync.Mutex
	handshakes []*http.Request    // guarded by mu
	posts      [][]map[string]any // items by POST; guarded by mu
	paths      []string           // of the posts; guarded by mu
	statuses   []int              // to answer with, in turn; then 202; guarded by mu
}

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
		status, h.statuses = cmp.Or(h.statuses[0], status), h.statuses[1:]
	}
	w.WriteHeader(status)
}

// items are all items received so far.
func (h *hook) items() []map[string]any {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []map[string]any
	for _, p := range h.posts {
		all = append(all, p...)
	}
	return all
}

func (h *hook) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.posts, h.paths, h.handshakes = nil, nil, nil
}

// only waits for exactly n items and makes sure that a marker sent after them
// is the next.
func (h *hook) only(t testing.TB, n int) []map[string]any {
	t.Helper()
	await.True(t, "the items come", func() bool { return len(h.items()) >= n })
	items := h.items()
	if len(items) != n {
		t.Fatalf("%d items came, want %d: %v", len(items), n, items)
	}
	return items
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cfg     graphsim.Config
		invalid bool // so much can be said without trying
	}{
		"a token that ends at once":              {graphsim.Config{TokenLifetime: time.Millisecond}, true},
		"the shortest life above the longest":    {graphsim.Config{MinSubscription: time.Hour, MaxSubscription: time.Minute}, true},
		"an address that can't be listened on":   {graphsim.Config{Addr: "256.0.0.1:1"}, false},
		"a control address that can't be either": {graphsim.Config{ControlAddr: "256.0.0.1:1"}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := graphsim.New(tt.cfg); err == nil || errors.Is(err, graphsim.ErrInvalid) != tt.invalid {
				t.Errorf("New = %v, want an error, ErrInvalid %t", err, tt.invalid)
			}
		})
	}
}

func TestSpeaksHTTP2(t *testing.T) {
	w := start(t, graphsim.Config{})
	resp, err := w.client.Get(w.URL() + "/" + w.TenantID() + "/v2.0/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Errorf("protocol = %s, want HTTP/2", resp.Proto)
	}
}

func TestSameSeedSameIDs(t *testing.T) {
	t.Parallel()
	ids := func(seed uint64) string {
		w := start(t, graphsim.Config{Seed: seed})
		u := w.user("ann@contoso.example")
		return u.ID + " " + w.subscribe(u, newHook(t), time.Hour)
	}
	if a, b := ids(7), ids(7); a != b {
		t.Errorf("ids = %s, then %s, want the same", a, b)
	}
	if a, b := ids(7), ids(8); a == b {
		t.Errorf("ids = %s for both seeds, want others", a)
	}
}
