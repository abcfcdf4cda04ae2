package doctor_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/doctor"
)

func TestMediator(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	year := time.Now().Add(365 * 24 * time.Hour)
	pair, _, _ := issue(t, "127.0.0.1", year)
	private := secure(t, pair, mediate)
	start := func(handler http.HandlerFunc) string {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		return server.URL
	}
	here := start(mediate)
	tests := map[string]struct {
		url, token    string
		status        doctor.Status
		found, remedy string
	}{
		"it is well":                {here, secret, doctor.OK, "has /api/setstatus", ""},
		"it is well, by its URL":    {strings.Replace(here, "http://", "http://monitor:"+secret+"@", 1), "", doctor.OK, "has /api/setstatus", ""},
		"the token is wrong":        {here, "wrong", doctor.Failed, "it answers 401", "MEDIATOR_TOKEN"},
		"it is away":                {gone.URL, secret, doctor.Failed, "refuses the connection", "start the mediator"},
		"its authority is unknown":  {private.URL, secret, doctor.Failed, "does not trust", "SSL_CERT_FILE"},
		"it redirects":              {start(answers(301, "text/html", "", "Location", "https://vmo.example/")), secret, doctor.Failed, "it answers 301, a redirect to https://vmo.example/", "final address"},
		"it is broken":              {start(answers(500, "text/html", "")), secret, doctor.Failed, "it answers 500", "log"},
		"it is this program itself": {start(answers(200, "text/plain", "EXCHANGE OOO MAIN PAGE : Mediator Server sync SUCCESSFUL.")), secret, doctor.Failed, "outlook-monitor itself", "the mediator needs this one"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.env["MEDIATOR_URL"], w.env["MEDIATOR_TOKEN"] = tt.url, tt.token
			wants(t, w.check("mediator"), tt.status, tt.found, tt.remedy)
		})
	}
}

// reply is what a mediator answers to one request.
type reply struct {
	status int
	header string // a name and a value
	body   string
}

func (r reply) write(w http.ResponseWriter) {
	if name, value, ok := strings.Cut(r.header, ": "); ok {
		w.Header().Set(name, value)
	}
	w.WriteHeader(r.status)
	_, _ = w.Write([]byte(r.body))
}

// TestWhatMediatorsAnswer has mediators that all take a POST of a state, unless something
// in front of them keeps it away: only then may the doctor fail.
func TestWhatMediatorsAnswer(t *testing.T) {
	const login, cannotTell, byHand = "https://login.example/", "can't tell whether it has /api/setstatus", "users show EMAIL"
	page, absent := reply{status: 200, body: "VMO"}, reply{status: 404, body: "Cannot OPTIONS"}
	all := func(r reply) [3]reply { return [3]reply{r, r, r} }
	tests := map[string]struct {
		replies       [3]reply // to GET /, to OPTIONS /api/setstatus, to OPTIONS of a path that does not exist
		status        doctor.Status
		found, remedy string
	}{
		"Flask, which lists the methods of a path":  {[3]reply{page, {200, "Allow: OPTIONS, POST", ""}, absent}, doctor.OK, "has /api/setstatus", ""},
		"Django and net/http, which refuse OPTIONS": {[3]reply{page, {405, "Allow: POST", ""}, absent}, doctor.OK, "has /api/setstatus", ""},
		"net/http with a page for all paths":        {[3]reply{page, {405, "Allow: POST", ""}, {405, "Allow: GET, HEAD", ""}}, doctor.OK, "has /api/setstatus", ""},
		"one that lists no methods":                 {[3]reply{page, {status: 405}, absent}, doctor.OK, "has /api/setstatus", ""},
		"one that wants a body":                     {[3]reply{absent, {status: 400}, absent}, doctor.OK, "has /api/setstatus", ""},
		"Express with a page":                       {[3]reply{page, absent, absent}, doctor.Warning, "it answers 404 to OPTIONS /api/setstatus: " + cannotTell, byHand},
		"Express without a page":                    {all(absent), doctor.Warning, cannotTell, byHand},
		"one that says gone":                        {[3]reply{page, {status: 410}, {status: 404}}, doctor.Warning, cannotTell, byHand},
		"Starlette with two routes for the path":    {[3]reply{page, {405, "Allow: GET", ""}, absent}, doctor.Warning, cannotTell, byHand},
		"one that allows all methods of all paths":  {[3]reply{page, {200, "Allow: GET,POST", ""}, {200, "Allow: GET,POST", ""}}, doctor.Warning, cannotTell, byHand},
		"one that answers CORS requests itself":     {[3]reply{page, {status: 204}, {status: 204}}, doctor.Warning, cannotTell, byHand},
		"POST alone, 405":                           {all(reply{status: 405}), doctor.Warning, cannotTell, byHand},
		"POST alone, 501, as Python's http.server":  {all(reply{status: 501}), doctor.Warning, cannotTell, byHand},
		"POST alone, 401":                           {all(reply{status: 401}), doctor.Warning, cannotTell, "MEDIATOR_TOKEN"},
		"POST alone, 401 of another login":          {all(reply{401, `WWW-Authenticate: Basic realm="staff"`, ""}), doctor.Warning, cannotTell, byHand},
		"POST alone, 403, as nginx' limit_except":   {all(reply{status: 403}), doctor.Warning, cannotTell, byHand},
		"a page with a login":                       {[3]reply{{status: 401}, {405, "Allow: POST", ""}, absent}, doctor.OK, "has /api/setstatus", ""},
		"a page that is forbidden":                  {[3]reply{{status: 403}, {405, "Allow: POST", ""}, absent}, doctor.OK, "has /api/setstatus", ""},
		"a page that is a redirect":                 {[3]reply{{302, "Location: /login", ""}, {405, "Allow: POST", ""}, absent}, doctor.OK, "has /api/setstatus", ""},
		"a page that redirects elsewhere":           {[3]reply{{302, "Location: " + login, ""}, absent, absent}, doctor.Warning, cannotTell, byHand},
		"all but POST redirects within it":          {all(reply{302, "Location: /login", ""}), doctor.Warning, "/login: " + cannotTell, "users show EMAIL"},
		"a path that redirects elsewhere":           {[3]reply{page, {302, "Location: " + login, ""}, absent}, doctor.Warning, cannotTell, byHand},
		"a handler that needs a body":               {[3]reply{page, {status: 500}, absent}, doctor.Warning, "it answers 500 to OPTIONS", byHand},
		"the token is refused":                      {all(reply{401, "WWW-Authenticate: Bearer", ""}), doctor.Failed, "it answers 401", "MEDIATOR_TOKEN"},
		"the path refuses the token":                {[3]reply{page, {401, "WWW-Authenticate: bearer realm=x", ""}, absent}, doctor.Failed, "it answers 401", "MEDIATOR_TOKEN"},
		"a proxy that leads to https":               {all(reply{301, "Location: https://127.0.0.1/", ""}), doctor.Failed, "a redirect to https://127.0.0.1/", "final address"},
		"a login before everything":                 {all(reply{302, "Location: " + login, ""}), doctor.Failed, "a redirect to " + login, "final address"},
		"a proxy whose mediator is away":            {all(reply{status: 502}), doctor.Failed, "it answers 502", "proxy"},
		"a proxy whose API is away":                 {[3]reply{page, {status: 504}, absent}, doctor.Failed, "answered with 504", "proxy"},
		"a proxy on the way that wants a login":     {all(reply{status: 407}), doctor.Failed, "wants a login", "NO_PROXY"},
		"a port for HTTPS of Go":                    {all(reply{400, "", "Client sent an HTTP request to an HTTPS server.\n"}), doctor.Failed, "speaks TLS", "https://"},
		"a port for HTTPS of nginx":                 {all(reply{400, "", "The plain HTTP request was sent to HTTPS port"}), doctor.Failed, "speaks TLS", "https://"},
		"a port for HTTPS of Apache":                {all(reply{400, "", "You're speaking plain HTTP to an SSL-enabled server port."}), doctor.Failed, "speaks TLS", "https://"},
		"one that cuts what it does not expect":     {[3]reply{page, {}, absent}, doctor.Warning, "no answer to OPTIONS /api/setstatus", byHand},
		"one that cuts paths that it does not have": {[3]reply{page, {405, "", ""}, {}}, doctor.Warning, cannotTell, byHand},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer := tt.replies[2]
				switch {
				case r.Method != http.MethodGet && r.Method != http.MethodOptions:
					t.Errorf("the mediator got %s %s, want nothing that has an effect", r.Method, r.URL.Path)
				case r.URL.Path == "/":
					answer = tt.replies[0]
				case r.URL.Path == "/api/setstatus":
					answer = tt.replies[1]
				}
				if answer.status == 0 {
					panic(http.ErrAbortHandler)
				}
				answer.write(w)
			}))
			t.Cleanup(server.Close)
			w := newWorld(t)
			w.env["MEDIATOR_URL"] = server.URL
			wants(t, w.check("mediator"), tt.status, tt.found, tt.remedy)
		})
	}
}
