package graphsim_test

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/graphsim"
)

func TestGetUser(t *testing.T) {
	f := start(t, graphsim.Config{})
	ann := f.AddUser(graphsim.User{UserPrincipalName: "Ann.O'Hara@contoso.example", Mail: "ann@mail.example", DisplayName: "Ann"})
	user := "/users/" + ann.ID
	for name, tt := range map[string]struct {
		request string
		status  int
		code    string
	}{
		"object id":                   {"GET " + user, 200, ""},
		"UPN in other letter case":    {"GET /Users/ann.o'hara@CONTOSO.example", 200, ""},
		"escaped UPN":                 {"GET /users/ann.o%27hara%40contoso.example", 200, ""},
		"mail address":                {"GET /users/ann@mail.example", 404, "Request_ResourceNotFound"},
		"mailbox of unknown UPN":      {"GET /users/bob@contoso.example" + repliesPath, 404, "ErrorInvalidUser"},
		"mailbox of unknown id":       {"GET /users/00000000-0000-4000-8000-000000000000" + repliesPath, 404, "ResourceNotFound"},
		"$select":                     {"GET " + user + "?$select=id,userPrincipalName,proxyAddresses", 200, ""},
		"$select of unknown property": {"GET " + user + "?$select=shoeSize", 400, "BadRequest"},
		"page beyond the limit":       {"GET /users?$top=1000", 400, "Request_UnsupportedQuery"},
		"unknown segment":             {"GET " + user + "/nothing", 400, "BadRequest"},
		"other method":                {"DELETE " + user, 405, "Request_BadRequest"},
	} {
		t.Run(name, func(t *testing.T) {
			method, path, _ := strings.Cut(tt.request, " ")
			a := f.graph(method, path, nil)
			a.want(t, tt.status, tt.code)
			if tt.status == 200 && a.body["id"] != ann.ID {
				t.Errorf("id = %v, want %s", a.body["id"], ann.ID)
			}
		})
	}
	got := slices.Sorted(maps.Keys(f.graph("GET", user+"?$select=id,proxyAddresses", nil).body))
	if want := []string{"@odata.context", "id", "proxyAddresses"}; !slices.Equal(got, want) {
		t.Errorf("properties = %v, want %v", got, want)
	}
}

func TestFilterUsers(t *testing.T) {
	f := start(t, graphsim.Config{})
	for _, u := range []graphsim.User{
		{UserPrincipalName: "ann@contoso.example", Mail: "ann.o'hara@mail.example"},
		{UserPrincipalName: "bob@contoso.example", ProxyAddresses: []string{"SMTP:bob@contoso.example", "smtp:robert@contoso.example"}},
		{UserPrincipalName: "shared1@contoso.example", Mail: "team@contoso.example"},
		{UserPrincipalName: "shared2@contoso.example", Mail: "team@contoso.example"},
	} {
		f.AddUser(u)
	}
	for name, tt := range map[string]struct {
		filter string
		want   []string // nil: refused
	}{
		"doubled apostrophe":          {"mail eq 'ANN.O''Hara@mail.example'", []string{"ann@contoso.example"}},
		"no match":                    {"mail eq 'nobody@contoso.example'", []string{}},
		"shared mail address":         {"mail eq 'team@contoso.example'", []string{"shared1@contoso.example", "shared2@contoso.example"}},
		"secondary proxy address":     {"proxyAddresses/any(p:p eq 'smtp:Robert@contoso.example')", []string{"bob@contoso.example"}},
		"prefix in other letter case": {"proxyAddresses/any(p:p eq 'smtp:bob@contoso.example')", []string{}},
		"both prefixes":               {"proxyAddresses/any(p:p eq 'smtp:bob@contoso.example') or proxyAddresses/any(x:x eq 'SMTP:bob@contoso.example')", []string{"bob@contoso.example"}},
		"mail or UPN, each user once": {"mail eq 'bob@contoso.example' or userPrincipalName eq 'bob@contoso.example'", []string{"bob@contoso.example"}},
		"unescaped apostrophe":        {"mail eq 'o'hara@mail.example'", nil},
		"unterminated string":         {"mail eq 'ann", nil},
		"unsupported operator":        {"mail ne 'ann@contoso.example'", nil},
		"unsupported property":        {"jobTitle eq 'x'", nil},
		"unsupported and":             {"mail eq 'a' and mail eq 'b'", nil},
		"any with two variables":      {"proxyAddresses/any(p:q eq 'smtp:x')", nil},
		"incomplete or":               {"mail eq 'a' or ", nil},
	} {
		t.Run(name, func(t *testing.T) {
			header := f.header()
			header.Set("ConsistencyLevel", "eventual")
			a := f.send("GET", f.URL()+"/v1.0/users?$count=true&$filter="+url.QueryEscape(tt.filter), header, nil)
			if tt.want == nil {
				a.want(t, 400, "Request_UnsupportedQuery")
				return
			}
			a.want(t, 200, "")
			var got []string
			users, _ := a.body["value"].([]any)
			for _, u := range users {
				got = append(got, u.(map[string]any)["userPrincipalName"].(string))
			}
			if slices.Sort(got); !slices.Equal(got, tt.want) {
				t.Errorf("users = %v, want %v", got, tt.want)
			}
			if got := a.body["@odata.count"]; got != float64(len(tt.want)) {
				t.Errorf("count = %v, want %d", got, len(tt.want))
			}
		})
	}
}

func TestErrorsContainRequestIDs(t *testing.T) {
	f := start(t, graphsim.Config{})
	header := f.header()
	header.Set("Client-Request-Id", "my-own-id")
	a := f.send("GET", f.URL()+"/v1.0/users/nobody@contoso.example", header, nil)
	inner, _ := a.body["error"].(map[string]any)["innerError"].(map[string]any)
	id := a.header.Get("Request-Id")
	if id == "" || inner["request-id"] != id || a.header.Get("Client-Request-Id") != "my-own-id" ||
		inner["client-request-id"] != "my-own-id" || inner["date"] == nil {
		t.Errorf("header = %v, innerError = %v, want a date and matching ids", a.header, inner)
	}
}
