package graph_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

func TestFindsPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	c := w.client()
	ann := w.add(graphsim.User{UserPrincipalName: "ann@contoso.example", DisplayName: "Ann Ångström"})
	bob := w.add(graphsim.User{UserPrincipalName: "b0042@contoso.example", Mail: "bob.builder@contoso.example",
		ProxyAddresses: []string{"SMTP:bob.builder@contoso.example", "smtp:bob@fabrikam.example", "X500:/o=contoso/cn=bob"}})
	conan := w.add(graphsim.User{UserPrincipalName: "o'brien@contoso.example", Mail: "c.o'brien@contoso.example",
		ProxyAddresses: []string{"SMTP:c.o'brien@contoso.example", "smtp:conan.o'brien@contoso.example"}})
	renamed := w.add(graphsim.User{UserPrincipalName: "new@contoso.example", Mail: "old@contoso.example",
		ProxyAddresses: []string{"SMTP:primary@contoso.example"}})
	plus := w.add(graphsim.User{UserPrincipalName: "p1@contoso.example", Mail: "sales+emea&co/x?y=%20#1@contoso.example"})
	guest := w.add(graphsim.User{UserPrincipalName: "gus_fabrikam.example#EXT#@contoso.example", Mail: "gus@fabrikam.example"})
	unicode := w.add(graphsim.User{UserPrincipalName: "u1@contoso.example", Mail: "jürgen@contoso.example"})
	first := w.add(graphsim.User{UserPrincipalName: "first@contoso.example"})
	w.add(graphsim.User{UserPrincipalName: "second@contoso.example", Mail: "first@contoso.example"})
	for _, upn := range []string{"t1@contoso.example", "t2@contoso.example"} {
		w.add(graphsim.User{UserPrincipalName: upn, Mail: "team@contoso.example", ProxyAddresses: []string{"smtp:all@contoso.example"}})
	}
	w.add(graphsim.User{UserPrincipalName: "t3@contoso.example", ProxyAddresses: []string{"SMTP:desk@contoso.example"}})
	w.add(graphsim.User{UserPrincipalName: "t4@contoso.example", ProxyAddresses: []string{"smtp:desk@contoso.example"}})
	tests := map[string]struct {
		address string
		want    ooo.ObjectID
		err     error
		calls   int // to the directory
	}{
		"by user principal name":                  {"ann@contoso.example", ann, nil, 1},
		"in other letter case":                    {"Ann@Contoso.Example", ann, nil, 1},
		"by mail address":                         {"bob.builder@contoso.example", bob, nil, 2},
		"by a further address":                    {"bob@fabrikam.example", bob, nil, 3},
		"by a primary address that mail is not":   {"primary@contoso.example", renamed, nil, 3},
		"by a name with an apostrophe":            {"o'brien@contoso.example", conan, nil, 1},
		"by mail with an apostrophe":              {"c.o'brien@contoso.example", conan, nil, 2},
		"by a further address with an apostrophe": {"conan.o'brien@contoso.example", conan, nil, 3},
		"by what can't be in a path":              {"sales+emea&co/x?y=%20#1@contoso.example", plus, nil, 1},
		"by letters beyond ASCII":                 {"jürgen@contoso.example", unicode, nil, 1},
		"a guest by mail":                         {"gus@fabrikam.example", guest, nil, 2},
		"a guest by user principal name":          {"gus_fabrikam.example#EXT#@contoso.example", guest, nil, 1},
		"the name counts before another's mail":   {"first@contoso.example", first, nil, 1},
		"nobody":                                  {"nobody@contoso.example", "", ooo.ErrNotInDirectory, 3},
		"nobody, though it looks like a filter":   {"x' or mail eq 'ann@contoso.example", "", ooo.ErrNotInDirectory, 2},
		"nobody in another folder":                {"../users/ann@contoso.example", "", ooo.ErrNotInDirectory, 2},
		"two with the same mail":                  {"team@contoso.example", "", ooo.ErrAmbiguous, 2},
		"two with the same further address":       {"all@contoso.example", "", ooo.ErrAmbiguous, 3},
		"one's primary is another's further":      {"desk@contoso.example", "", ooo.ErrAmbiguous, 3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			before := w.seen.all("directory")
			person, err := c.Find(t.Context(), tt.address)
			if person.ID != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("Find = %+v, %v, want id %q, %v", person, err, tt.want, tt.err)
			}
			if got := w.seen.all("directory") - before; got != tt.calls {
				t.Errorf("%d calls, want %d", got, tt.calls)
			}
		})
	}
	t.Run("with all that is known", func(t *testing.T) {
		want := ooo.Person{ID: ann, UserPrincipalName: "ann@contoso.example", DisplayName: "Ann Ångström"}
		if got, err := c.Find(t.Context(), "ann@contoso.example"); got != want || err != nil {
			t.Errorf("Find = %+v, %v, want %+v", got, err, want)
		}
	})
}

func TestLooksPeopleUpByObjectID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	c := w.client()
	ann := w.user("ann@contoso.example")
	if got, err := c.Lookup(t.Context(), ann); err != nil || got.ID != ann {
		t.Errorf("Lookup = %+v, %v, want %s", got, err, ann)
	}
	for _, id := range []ooo.ObjectID{"00000000-0000-4000-8000-000000000000", "../me", ""} {
		if _, err := c.Lookup(t.Context(), id); !errors.Is(err, ooo.ErrNotInDirectory) {
			t.Errorf("Lookup(%q) = %v, want %v", id, err, ooo.ErrNotInDirectory)
		}
	}
}

// What Graph says of people that it can't take for names, and what a proxy says.
func TestFindAgainstOddAnswers(t *testing.T) {
	t.Parallel()
	hit := `{"value":[{"id":"8c1d","userPrincipalName":"ann@contoso.example"}]}`
	tests := map[string]struct {
		lookUp, search http.HandlerFunc
		want           ooo.ObjectID
		err            error
	}{
		"a name that can't be one is searched for": {
			answers(http.StatusBadRequest, graphError("BadRequest", "")),
			answers(http.StatusOK, hit), "8c1d", nil},
		"a proxy's 404 is no answer":      {page(http.StatusNotFound), page(http.StatusOK), "", ooo.ErrUnavailable},
		"a page is no answer":             {page(http.StatusOK), page(http.StatusOK), "", ooo.ErrUnavailable},
		"a person without an id is none":  {answers(http.StatusOK, `{"mail":"x"}`), nil, "", ooo.ErrUnavailable},
		"an empty answer is none":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, nil, "", ooo.ErrUnavailable},
		"half an answer is none":          {answers(http.StatusOK, `{"id":"8c`), nil, "", ooo.ErrUnavailable},
		"a search that says nothing":      {notThere, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, "", ooo.ErrUnavailable},
		"a search that finds a nameless":  {notThere, answers(http.StatusOK, `{"value":[{}]}`), "", ooo.ErrUnavailable},
		"a search whose answer is a page": {notThere, page(http.StatusOK), "", ooo.ErrUnavailable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStub(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v1.0/users" {
					tt.search(w, r)
				} else {
					tt.lookUp(w, r)
				}
			})
			person, err := s.client(t).Find(t.Context(), "ann@contoso.example")
			if person.ID != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("Find = %+v, %v, want id %q, %v", person, err, tt.want, tt.err)
			}
			if err != nil && strings.Contains(err.Error(), "contoso") {
				t.Errorf("Find = %q, want no address in it", err)
			}
		})
	}
}

func notThere(w http.ResponseWriter, _ *http.Request) {
	answerJSON(w, http.StatusNotFound, graphError("Request_ResourceNotFound", "Resource 'ann@contoso.example' does not exist."))
}

func TestSearchesAsTheIndexWantsIt(t *testing.T) {
	t.Parallel()
	type asked struct{ filter, count, level string }
	searches := make(chan asked, 4)
	s := newStub(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1.0/users" {
			notThere(w, r)
			return
		}
		q := r.URL.Query()
		searches <- asked{q.Get("$filter"), q.Get("$count"), r.Header.Get("ConsistencyLevel")}
		answerJSON(w, http.StatusOK, `{"value":[]}`)
	})
	if _, err := s.client(t).Find(t.Context(), "o'brien@contoso.example"); !errors.Is(err, ooo.ErrNotInDirectory) {
		t.Errorf("Find = %v, want %v", err, ooo.ErrNotInDirectory)
	}
	for _, want := range []asked{
		{"mail eq 'o''brien@contoso.example'", "", ""},
		{"proxyAddresses/any(p:p eq 'smtp:o''brien@contoso.example') or proxyAddresses/any(p:p eq 'SMTP:o''brien@contoso.example')", "true", "eventual"},
	} {
		if got := <-searches; got != want {
			t.Errorf("search = %+v, want %+v", got, want)
		}
	}
}
