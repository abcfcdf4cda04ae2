package graphsim_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/graphsim"
)

// names lists the UPNs in a page of users, sorted.
func names(a answer) []string {
	var out []string
	list, _ := a.body["value"].([]any)
	for _, v := range list {
		out = append(out, v.(map[string]any)["userPrincipalName"].(string))
	}
	slices.Sort(out)
	return out
}

func TestGetUser(t *testing.T) {
	w := start(t, graphsim.Config{})
	ann, err := w.AddUser(graphsim.User{UserPrincipalName: "Ann.O'Hara@contoso.example", Mail: "ann@mail.example", DisplayName: "Ann"})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		path   string
		status int
		code   string
	}{
		"by object id":                          {"/users/" + ann.ID, 200, ""},
		"by object id in capitals":              {"/users/" + strings.ToUpper(ann.ID), 200, ""},
		"by UPN in another letter case":         {"/Users/ann.o'hara@CONTOSO.example", 200, ""},
		"by UPN with escapes":                   {"/users/ann.o%27hara%40contoso.example", 200, ""},
		"by a mail address that is not the UPN": {"/users/ann@mail.example", 404, "Request_ResourceNotFound"},
		"a stranger":                            {"/users/bob@contoso.example", 404, "Request_ResourceNotFound"},
		"with properties":                       {"/users/" + ann.ID + "?$select=id,userPrincipalName,proxyAddresses", 200, ""},
		"with a property that doesn't exist":    {"/users/" + ann.ID + "?$select=shoeSize", 400, "BadRequest"},
		"a segment that does not exist":         {"/users/" + ann.ID + "/nothing", 400, "BadRequest"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := w.graph("GET", tt.path, nil)
			if a.status != tt.status || a.code() != tt.code {
				t.Fatalf("answer = %d %s, want %d %s", a.status, a.raw, tt.status, tt.code)
			}
			if tt.status == 200 && a.body["id"] != ann.ID {
				t.Errorf("id = %v, want %s", a.body["id"], ann.ID)
			}
		})
	}
	t.Run("only what was selected is shown", func(t *testing.T) {
		a := w.graph("GET", "/users/"+ann.ID+"?$select=id,proxyAddresses", nil)
		got := slices.Sorted(maps.Keys(a.body))
		if want := []string{"@odata.context", "id", "proxyAddresses"}; !slices.Equal(got, want) {
			t.Errorf("properties = %v, want %v", got, want)
		}
	})
	t.Run("nothing but GET is allowed", func(t *testing.T) {
		if a := w.graph("DELETE", "/users/"+ann.ID, nil); a.status != 405 {
			t.Errorf("DELETE = %d, want 405", a.status)
		}
	})
}

func TestFilterUsers(t *testing.T) {
	w := start(t, graphsim.Config{})
	for _, u := range []graphsim.User{
		{UserPrincipalName: "ann@contoso.example", Mail: "ann.o'hara@mail.example"},
		{UserPrincipalName: "bob@contoso.example", ProxyAddresses: []string{"SMTP:bob@contoso.example", "smtp:robert@contoso.example"}},
		{UserPrincipalName: "shared1@contoso.example", Mail: "team@contoso.example"},
		{UserPrincipalName: "shared2@contoso.example", Mail: "team@contoso.example"},
	} {
		if _, err := w.AddUser(u); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		filter string
		want   []string // nil: refused
	}{
		"mail with a doubled apostrophe":       {"mail eq 'ANN.O''Hara@mail.example'", []string{"ann@contoso.example"}},
		"UPN":                                  {"userPrincipalName eq 'bob@contoso.example'", []string{"bob@contoso.example"}},
		"nobody":                               {"mail eq 'nobody@contoso.example'", []string{}},
		"mail that two have":                   {"mail eq 'team@contoso.example'", []string{"shared1@contoso.example", "shared2@contoso.example"}},
		"a secondary proxy address":            {"proxyAddresses/any(p:p eq 'smtp:Robert@contoso.example')", []string{"bob@contoso.example"}},
		"a primary one in the other spelling":  {"proxyAddresses/any(p:p eq 'smtp:bob@contoso.example')", []string{}},
		"both spellings":                       {"proxyAddresses/any(p:p eq 'smtp:bob@contoso.example') or proxyAddresses/any(x:x eq 'SMTP:bob@contoso.example')", []string{"bob@contoso.example"}},
		"mail or UPN, each user once":          {"mail eq 'bob@contoso.example' or userPrincipalName eq 'bob@contoso.example'", []string{"bob@contoso.example"}},
		"a lone apostrophe":                    {"mail eq 'o'hara@mail.example'", nil},
		"a string that doesn't end":            {"mail eq 'ann", nil},
		"an operator that isn't supported":     {"mail ne 'ann@contoso.example'", nil},
		"a property that can't be filtered by": {"jobTitle eq 'x'", nil},
		"and, which isn't supported":           {"mail eq 'a' and mail eq 'b'", nil},
		"an any with two variables":            {"proxyAddresses/any(p:q eq 'smtp:x')", nil},
		"nothing after or":                     {"mail eq 'a' or ", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			header := w.header()
			header.Set("ConsistencyLevel", "eventual")
			a := w.ask("GET", w.URL()+"/v1.0/users?$count=true&$filter="+url.QueryEscape(tt.filter), header, nil)
			if tt.want == nil {
				if a.status != 400 || a.code() != "Request_UnsupportedQuery" {
					t.Errorf("answer = %d %s, want 400 Request_UnsupportedQuery", a.status, a.raw)
				}
				return
			}
			if got := names(a); a.status != 200 || !slices.Equal(got, tt.want) {
				t.Errorf("users = %d %v, want %v", a.status, got, tt.want)
			}
			if got := a.body["@odata.count"]; got != float64(len(tt.want)) {
				t.Errorf("count = %v, want %d", got, len(tt.want))
			}
		})
	}
}

func TestUsersComeInPages(t *testing.T) {
	t.Parallel()
	w := start(t, graphsim.Config{})
	w.users(250)
	seen := make(map[string]bool)
	var sizes []int
	for next := w.URL() + "/v1.0/users?$select=userPrincipalName"; next != ""; {
		a := w.ask("GET", next, w.header(), nil)
		page := names(a)
		sizes = append(sizes, len(page))
		for _, n := range page {
			seen[n] = true
		}
		next, _ = a.body["@odata.nextLink"].(string)
	}
	if !slices.Equal(sizes, []int{100, 100, 50}) || len(seen) != 250 {
		t.Errorf("pages = %v with %d different users, want 100, 100, 50 with 250", sizes, len(seen))
	}
	if a := w.graph("GET", "/users?$top=1000", nil); a.status != 400 {
		t.Errorf("$top=1000 = %d, want 400", a.status)
	}
}

func TestErrorsNameTheirRequest(t *testing.T) {
	w := start(t, graphsim.Config{})
	header := w.header()
	header.Set("Client-Request-Id", "my-own-id")
	a := w.ask("GET", w.URL()+"/v1.0/users/nobody@contoso.example", header, nil)
	var got struct {
		Error struct{ InnerError map[string]string }
	}
	if err := json.Unmarshal(a.raw, &got); err != nil {
		t.Fatal(err)
	}
	inner, id := got.Error.InnerError, a.header.Get("Request-Id")
	if id == "" || inner["request-id"] != id || a.header.Get("Client-Request-Id") != "my-own-id" ||
		inner["client-request-id"] != "my-own-id" || inner["date"] == "" {
		t.Errorf("header = %v, innerError = %v, want a date and the same ids in both", a.header, inner)
	}
}

func TestUsersAreAddedAndDeleted(t *testing.T) {
	w := start(t, graphsim.Config{})
	u := w.user("ann@contoso.example")
	if _, err := w.AddUser(graphsim.User{UserPrincipalName: "ANN@contoso.example"}); !errors.Is(err, graphsim.ErrExists) {
		t.Errorf("the same UPN again = %v, want ErrExists", err)
	}
	if _, err := w.AddUser(graphsim.User{UserPrincipalName: "b@contoso.example", ID: u.ID}); !errors.Is(err, graphsim.ErrExists) {
		t.Errorf("the same id again = %v, want ErrExists", err)
	}
	w.must(w.DeleteUser("ann@contoso.example"))
	for _, path := range []string{"/users/" + u.ID, "/users/" + u.ID + "/mailboxSettings/automaticRepliesSetting"} {
		if a := w.graph("GET", path, nil); a.status != http.StatusNotFound {
			t.Errorf("GET %s after deletion = %d, want 404", path, a.status)
		}
	}
	if got := names(w.graph("GET", "/users?$filter="+url.QueryEscape("mail eq 'ann@contoso.example'"), nil)); len(got) != 0 {
		t.Errorf("filter finds %v after deletion, want nobody", got)
	}
	if err := w.DeleteUser(u.ID); !errors.Is(err, graphsim.ErrUnknownUser) {
		t.Errorf("deleting again = %v, want ErrUnknownUser", err)
	}
}

func TestPresenceInBulk(t *testing.T) {
	w := start(t, graphsim.Config{})
	ann, bob := w.user("ann@contoso.example"), w.user("bob@contoso.example")
	w.setOut(ann)
	a := w.graph("POST", "/communications/getPresencesByUserId", map[string]any{"ids": []string{ann.ID, bob.ID}})
	out := map[any]any{}
	list, _ := a.body["value"].([]any)
	for _, v := range list {
		p := v.(map[string]any)
		out[p["id"]] = p["outOfOfficeSettings"].(map[string]any)["isOutOfOffice"]
	}
	if out[ann.ID] != true || out[bob.ID] != false {
		t.Errorf("presences = %d %v, want ann out and bob in", a.status, out)
	}
	many := make([]string, 651)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	if a := w.graph("POST", "/communications/getPresencesByUserId", map[string]any{"ids": many}); a.status != 400 {
		t.Errorf("651 ids = %d, want 400", a.status)
	}
	for i := range 1498 { // two were before
		if a := w.graph("POST", "/communications/getPresencesByUserId", map[string]any{"ids": []string{ann.ID}}); a.status != 200 {
			t.Fatalf("request %d = %d %s, want 200", i+3, a.status, a.raw)
		}
	}
	a = w.graph("POST", "/communications/getPresencesByUserId", map[string]any{"ids": []string{ann.ID}})
	if a.status != 429 || a.header.Get("Retry-After") == "" {
		t.Errorf("one more in 30 s = %d %s, Retry-After %q, want 429 and a wait", a.status, a.raw, a.header.Get("Retry-After"))
	}
	if a := w.read(ann); a.status != 200 {
		t.Errorf("a read meanwhile = %d, want 200: presence has a quota of its own", a.status)
	}
}
