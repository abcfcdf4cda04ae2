package doctor_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/doctor"
	"outlook-monitor/internal/programtest"
)

func TestMediator(t *testing.T) {
	mediator := newFixture(t).env["MEDIATOR_URL"]
	private := startTLS(t, "127.0.0.1", time.Now().AddDate(1, 0, 0), mediate)
	at := func(url string) func(*fixture) {
		return func(f *fixture) { f.env["MEDIATOR_URL"], f.env["MEDIATOR_TOKEN"] = url, "" }
	}
	wantFindings(t, map[string]finding{
		"password in the URL": {at(strings.Replace(mediator, "http://", "http://monitor:"+secret+"@", 1)), "mediator", doctor.OK, "has /api/setstatus", ""},
		"nothing listens":     {at("http://127.0.0.1:1"), "mediator", doctor.Failed, "refuses the connection", "start the mediator"},
		"private certificate": {at(private.URL), "mediator", doctor.Failed, "does not trust", "SSL_CERT_FILE"},
	})
}

// reply is a response that is always the same; the zero reply closes the connection.
type reply struct {
	status int
	header string // a name and a value
	body   string
}

func (r reply) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if r.status == 0 {
		panic(http.ErrAbortHandler)
	}
	if name, value, ok := strings.Cut(r.header, ": "); ok {
		w.Header().Set(name, value)
	}
	w.WriteHeader(r.status)
	_, _ = w.Write([]byte(r.body))
}

// TestMediatorResponses uses mediators that all accept a POST of a state, unless a proxy or a
// login in front prevents it: only then may the doctor fail.
func TestMediatorResponses(t *testing.T) {
	const login, cannotTell, manual = "https://login.example/", "can't tell whether it has /api/setstatus", "users show EMAIL"
	page, absent := reply{status: 200, body: "VMO"}, reply{status: 404, body: "Cannot OPTIONS"}
	all := func(r reply) [3]reply { return [3]reply{r, r, r} }
	for name, tt := range map[string]struct {
		replies       [3]reply // to GET /, to OPTIONS /api/setstatus, to OPTIONS of a path that does not exist
		status        doctor.Status
		found, remedy string
	}{
		"Flask, lists the methods of a path":        {[3]reply{page, {200, "Allow: OPTIONS, POST", ""}, absent}, doctor.OK, "has /api/setstatus", ""},
		"Django and net/http, refuse OPTIONS":       {[3]reply{page, {405, "Allow: POST", ""}, absent}, doctor.OK, "has /api/setstatus", ""},
		"net/http with a page for all paths":        {[3]reply{page, {405, "Allow: POST", ""}, {405, "Allow: GET, HEAD", ""}}, doctor.OK, "has /api/setstatus", ""},
		"400 without a body":                        {[3]reply{absent, {status: 400}, absent}, doctor.OK, "has /api/setstatus", ""},
		"Express with a page":                       {[3]reply{page, absent, absent}, doctor.Warning, "it answers 404 to OPTIONS /api/setstatus: " + cannotTell, manual},
		"410":                                       {[3]reply{page, {status: 410}, {status: 404}}, doctor.Warning, cannotTell, manual},
		"Starlette with two routes for the path":    {[3]reply{page, {405, "Allow: GET", ""}, absent}, doctor.Warning, cannotTell, manual},
		"all methods of all paths allowed":          {[3]reply{page, {200, "Allow: GET,POST", ""}, {200, "Allow: GET,POST", ""}}, doctor.Warning, cannotTell, manual},
		"CORS middleware":                           {[3]reply{page, {status: 204}, {status: 204}}, doctor.Warning, cannotTell, manual},
		"only POST, 501 like Python's http.server":  {all(reply{status: 501}), doctor.Warning, cannotTell, manual},
		"only POST, 401":                            {all(reply{status: 401}), doctor.Warning, cannotTell, "MEDIATOR_TOKEN"},
		"only POST, 401 of another login":           {all(reply{401, `WWW-Authenticate: Basic realm="staff"`, ""}), doctor.Warning, cannotTell, manual},
		"only POST, 403 like limit_except of nginx": {all(reply{status: 403}), doctor.Warning, cannotTell, manual},
		"login for the page":                        {[3]reply{{status: 401}, {405, "Allow: POST", ""}, absent}, doctor.OK, "has /api/setstatus", ""},
		"page redirects to another host":            {[3]reply{{302, "Location: " + login, ""}, absent, absent}, doctor.Warning, cannotTell, manual},
		"all but POST redirect on the same host":    {all(reply{302, "Location: /login", ""}), doctor.Warning, "/login: " + cannotTell, "users show EMAIL"},
		"path redirects to another host":            {[3]reply{page, {302, "Location: " + login, ""}, absent}, doctor.Warning, cannotTell, manual},
		"500 without a body":                        {[3]reply{page, {status: 500}, absent}, doctor.Warning, "it answers 500 to OPTIONS", manual},
		"token refused":                             {all(reply{401, "WWW-Authenticate: Bearer", ""}), doctor.Failed, "it answers 401", "MEDIATOR_TOKEN"},
		"path refuses the token":                    {[3]reply{page, {401, "WWW-Authenticate: bearer realm=x", ""}, absent}, doctor.Failed, "it answers 401", "MEDIATOR_TOKEN"},
		"proxy redirects to https":                  {all(reply{301, "Location: https://127.0.0.1/", ""}), doctor.Failed, "a redirect to https://127.0.0.1/", "final address"},
		"login in front of everything":              {all(reply{302, "Location: " + login, ""}), doctor.Failed, "a redirect to " + login, "final address"},
		"outlook-monitor itself":                    {all(reply{200, "", "EXCHANGE OOO MAIN PAGE : Mediator Server sync SUCCESSFUL."}), doctor.Failed, "outlook-monitor itself", "the mediator is to have this one"},
		"proxy without mediator":                    {all(reply{status: 502}), doctor.Failed, "it answers 502", "proxy"},
		"proxy without API":                         {[3]reply{page, {status: 504}, absent}, doctor.Failed, "it answers 504 to OPTIONS", "proxy"},
		"HTTP proxy requires a login":               {all(reply{status: 407}), doctor.Failed, "requires a login", "NO_PROXY"},
		"HTTPS port of Go":                          {all(reply{400, "", "Client sent an HTTP request to an HTTPS server.\n"}), doctor.Failed, "speaks TLS", "https://"},
		"HTTPS port of nginx":                       {all(reply{400, "", "The plain HTTP request was sent to HTTPS port"}), doctor.Failed, "speaks TLS", "https://"},
		"HTTPS port of Apache":                      {all(reply{400, "", "You're speaking plain HTTP to an SSL-enabled server port."}), doctor.Failed, "speaks TLS", "https://"},
		"connection closed":                         {[3]reply{page, {}, absent}, doctor.Warning, "no answer to OPTIONS /api/setstatus", manual},
		"connection closed for unknown paths":       {[3]reply{page, {405, "", ""}, {}}, doctor.Warning, cannotTell, manual},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.env["MEDIATOR_URL"] = programtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				reply := tt.replies[2]
				switch {
				case r.Method != http.MethodGet && r.Method != http.MethodOptions:
					t.Errorf("the mediator received %s %s, want no side effects", r.Method, r.URL.Path)
				case r.URL.Path == "/":
					reply = tt.replies[0]
				case r.URL.Path == "/api/setstatus":
					reply = tt.replies[1]
				}
				reply.ServeHTTP(w, r)
			}))
			wantResult(t, f.check("mediator"), tt.status, tt.found, tt.remedy)
		})
	}
}
