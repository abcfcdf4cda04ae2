package graph_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

func TestFind(t *testing.T) {
	t.Parallel()
	e := newEnv(t, graphsim.Config{})
	c := e.runClient()
	ann := e.user(graphsim.User{UserPrincipalName: "ann@contoso.example", DisplayName: "Ann Ångström"})
	bob := e.user(graphsim.User{UserPrincipalName: "b0042@contoso.example", Mail: "bob.builder@contoso.example",
		ProxyAddresses: []string{"SMTP:bob.builder@contoso.example", "smtp:bob@fabrikam.example", "X500:/o=contoso/cn=bob"}})
	conan := e.user(graphsim.User{UserPrincipalName: "o'brien@contoso.example", Mail: "c.o'brien@contoso.example",
		ProxyAddresses: []string{"SMTP:c.o'brien@contoso.example", "smtp:conan.o'brien@contoso.example"}})
	renamed := e.user(graphsim.User{UserPrincipalName: "new@contoso.example", Mail: "old@contoso.example",
		ProxyAddresses: []string{"SMTP:primary@contoso.example"}})
	plus := e.user(graphsim.User{UserPrincipalName: "p1@contoso.example", Mail: "sales+emea&co/x?y=%20#1@contoso.example"})
	guest := e.user(graphsim.User{UserPrincipalName: "gus_fabrikam.example#EXT#@contoso.example", Mail: "gus@fabrikam.example"})
	unicode := e.user(graphsim.User{UserPrincipalName: "u1@contoso.example", Mail: "jürgen@contoso.example"})
	first := e.user(graphsim.User{UserPrincipalName: "first@contoso.example"})
	e.user(graphsim.User{UserPrincipalName: "second@contoso.example", Mail: "first@contoso.example"})
	for _, upn := range []string{"t1@contoso.example", "t2@contoso.example"} {
		e.user(graphsim.User{UserPrincipalName: upn, Mail: "team@contoso.example", ProxyAddresses: []string{"smtp:all@contoso.example"}})
	}
	e.user(graphsim.User{UserPrincipalName: "t3@contoso.example", ProxyAddresses: []string{"SMTP:desk@contoso.example"}})
	e.user(graphsim.User{UserPrincipalName: "t4@contoso.example", ProxyAddresses: []string{"smtp:desk@contoso.example"}})
	for name, tt := range map[string]struct {
		address string
		want    ooo.ObjectID
		err     error
		calls   int64 // to the directory
	}{
		"user principal name":                   {"ann@contoso.example", ann, nil, 1},
		"other letter case":                     {"Ann@Contoso.Example", ann, nil, 1},
		"mail":                                  {"bob.builder@contoso.example", bob, nil, 2},
		"proxy address":                         {"bob@fabrikam.example", bob, nil, 3},
		"primary proxy address other than mail": {"primary@contoso.example", renamed, nil, 3},
		"name with an apostrophe":               {"o'brien@contoso.example", conan, nil, 1},
		"mail with an apostrophe":               {"c.o'brien@contoso.example", conan, nil, 2},
		"proxy address with an apostrophe":      {"conan.o'brien@contoso.example", conan, nil, 3},
		"characters that a path can't have":     {"sales+emea&co/x?y=%20#1@contoso.example", plus, nil, 1},
		"letters beyond ASCII":                  {"jürgen@contoso.example", unicode, nil, 1},
		"mail of a guest":                       {"gus@fabrikam.example", guest, nil, 2},
		"name of a guest":                       {"gus_fabrikam.example#EXT#@contoso.example", guest, nil, 1},
		"name that is another's mail":           {"first@contoso.example", first, nil, 1},
		"unknown":                               {"nobody@contoso.example", "", ooo.ErrNotInDirectory, 3},
		"unknown, injecting a filter":           {"x' or mail eq 'ann@contoso.example", "", ooo.ErrNotInDirectory, 2},
		"unknown, injecting a path":             {"../users/ann@contoso.example", "", ooo.ErrNotInDirectory, 2},
		"mail of two":                           {"team@contoso.example", "", ooo.ErrAmbiguous, 2},
		"proxy address of two":                  {"all@contoso.example", "", ooo.ErrAmbiguous, 3},
		"primary of one, proxy of another":      {"desk@contoso.example", "", ooo.ErrAmbiguous, 3},
	} {
		t.Run(name, func(t *testing.T) {
			before := e.calls("directory")
			person, err := c.Find(t.Context(), tt.address)
			if person.ID != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("Find = %+v, %v, want id %q, %v", person, err, tt.want, tt.err)
			}
			if got := e.calls("directory") - before; got != tt.calls {
				t.Errorf("%d calls, want %d", got, tt.calls)
			}
		})
	}
	want := ooo.Person{ID: ann, UserPrincipalName: "ann@contoso.example", DisplayName: "Ann Ångström"}
	found, findErr := c.Find(t.Context(), "ann@contoso.example")
	byID, byIDErr := c.FindByID(t.Context(), ann)
	if err := errors.Join(findErr, byIDErr); err != nil || found != want || byID != want {
		t.Errorf("Find = %+v, FindByID = %+v, %v, want %+v", found, byID, err, want)
	}
	for _, id := range []ooo.ObjectID{"00000000-0000-4000-8000-000000000000", "../me", ""} {
		if _, err := c.FindByID(t.Context(), id); !errors.Is(err, ooo.ErrNotInDirectory) {
			t.Errorf("FindByID(%q) = %v, want %v", id, err, ooo.ErrNotInDirectory)
		}
	}
}

// FindByID trusts only a 404 with a code: a proxy may answer 404 too, and a mailbox must not be
// given up for that.
func TestFindUnusualAnswers(t *testing.T) {
	t.Parallel()
	found := `{"value":[{"id":"8c1d","userPrincipalName":"ann@contoso.example"}]}`
	for name, tt := range map[string]struct {
		get, search http.HandlerFunc
		want        ooo.ObjectID
		err         error
		byID        error // of FindByID
	}{
		"rejected name":              {respond(http.StatusBadRequest, graphError("BadRequest", "")), respond(http.StatusOK, found), "8c1d", nil, ooo.ErrRejected},
		"404 without a body":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, respond(http.StatusOK, found), "8c1d", nil, ooo.ErrUnavailable},
		"404 with another code":      {respond(http.StatusNotFound, graphError("NotFound", "")), respond(http.StatusOK, found), "8c1d", nil, ooo.ErrNotInDirectory},
		"404 for a search":           {notFound, notFound, "", ooo.ErrUnavailable, ooo.ErrNotInDirectory},
		"404 of a proxy":             {proxyPage(http.StatusNotFound), proxyPage(http.StatusOK), "", ooo.ErrUnavailable, ooo.ErrUnavailable},
		"JSON of a proxy":            {respond(http.StatusNotFound, `{}`), respond(http.StatusOK, `{"status":"ok"}`), "", ooo.ErrUnavailable, ooo.ErrUnavailable},
		"404 of an API gateway":      {respond(http.StatusNotFound, `{"message":"no Route matched"}`), respond(http.StatusOK, `{"value":[]}`), "", ooo.ErrUnavailable, ooo.ErrUnavailable},
		"proxy":                      {proxyPage(http.StatusOK), proxyPage(http.StatusOK), "", ooo.ErrUnavailable, ooo.ErrUnavailable},
		"no id":                      {respond(http.StatusOK, `{"mail":"x"}`), nil, "", ooo.ErrUnavailable, ooo.ErrUnavailable},
		"empty answer":               {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, nil, "", ooo.ErrUnavailable, ooo.ErrUnavailable},
		"incomplete answer":          {respond(http.StatusOK, `{"id":"8c`), nil, "", ooo.ErrUnavailable, ooo.ErrUnavailable},
		"empty search":               {notFound, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, "", ooo.ErrUnavailable, ooo.ErrNotInDirectory},
		"search finds no id":         {notFound, respond(http.StatusOK, `{"value":[{}]}`), "", ooo.ErrUnavailable, ooo.ErrNotInDirectory},
		"search answered by a proxy": {notFound, proxyPage(http.StatusOK), "", ooo.ErrUnavailable, ooo.ErrNotInDirectory},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStub(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v1.0/users" {
					tt.search(w, r)
				} else {
					tt.get(w, r)
				}
			})
			person, err := s.client(t).Find(t.Context(), "ann@contoso.example")
			if person.ID != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("Find = %+v, %v, want id %q, %v", person, err, tt.want, tt.err)
			}
			if err != nil && strings.Contains(err.Error(), "contoso") {
				t.Errorf("Find = %q, want no address in it", err)
			}
			if _, err := s.client(t).FindByID(t.Context(), "8c1d"); !errors.Is(err, tt.byID) {
				t.Errorf("FindByID = %v, want %v", err, tt.byID)
			}
		})
	}
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusNotFound, graphError("Request_ResourceNotFound", "Resource 'ann@contoso.example' does not exist."))
}

func TestFindFilters(t *testing.T) {
	t.Parallel()
	type search struct{ filter, count, level string }
	searches := make(chan search, 4)
	s := newStub(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1.0/users" {
			notFound(w, r)
			return
		}
		q := r.URL.Query()
		searches <- search{q.Get("$filter"), q.Get("$count"), r.Header.Get("ConsistencyLevel")}
		writeJSON(w, http.StatusOK, `{"value":[]}`)
	})
	if _, err := s.client(t).Find(t.Context(), "o'brien@contoso.example"); !errors.Is(err, ooo.ErrNotInDirectory) {
		t.Errorf("Find = %v, want %v", err, ooo.ErrNotInDirectory)
	}
	for _, want := range []search{
		{"mail eq 'o''brien@contoso.example'", "", ""},
		{"proxyAddresses/any(p:p eq 'smtp:o''brien@contoso.example') or proxyAddresses/any(p:p eq 'SMTP:o''brien@contoso.example')", "true", "eventual"},
	} {
		if got := <-searches; got != want {
			t.Errorf("search = %+v, want %+v", got, want)
		}
	}
}
