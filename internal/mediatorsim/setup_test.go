package mediatorsim_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/mediatorsim"
)

func accept(http.ResponseWriter, *http.Request) {} // answers 200

func TestSetup(t *testing.T) {
	var s *mediatorsim.Server
	both := []string{posted(ann, "True"), posted(bob, "True")}
	for name, tt := range map[string]struct {
		monitor http.HandlerFunc
		want    string
		posted  []string
	}{
		"success":                 {accept, "True", both},
		"monitor refuses":         {http.NotFound, "True", both},
		"monitor does not answer": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "False", both[:1]},
		"user removed meanwhile": {func(http.ResponseWriter, *http.Request) {
			wantSetStatus(t, s, ann, 200)
			s.Remove(bob)
		}, "True", both[:1]},
		"redirect": {http.RedirectHandler("/monitor", http.StatusTemporaryRedirect).ServeHTTP, "True", both},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMonitor(t, tt.monitor)
			s = start(t, mediatorsim.Config{MonitorURL: m.URL + "/"})
			s.Add(ann, bob, ann)
			status, text := send(t, s.URL()+"/api/setup", "")
			if want := `{"result":"` + tt.want + `"}` + "\n"; status != 200 || text != want {
				t.Errorf("setup = %d %q, want 200 %q", status, text, want)
			}
			if got := m.got(); !slices.Equal(got, tt.posted) {
				t.Errorf("posted = %q, want %q", got, tt.posted)
			}
			if got := s.Setups(); got != 1 {
				t.Errorf("Setups = %d, want 1", got)
			}
		})
	}
}

func TestMonitorAddsAndRemovesUser(t *testing.T) {
	m := newMonitor(t, accept)
	withPassword := strings.Replace(m.URL, "://", "://mediator:secret@", 1)
	for name, tt := range map[string]struct{ url, token, authorization string }{
		"no token":            {m.URL, "", ""},
		"password in the URL": {withPassword, "", "Basic bWVkaWF0b3I6c2VjcmV0 "},
		"token and password":  {withPassword, "secret", "Bearer secret "},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, mediatorsim.Config{MonitorURL: tt.url, MonitorToken: tt.token})
			for _, step := range []struct {
				on     bool
				status string
				want   int // of a setstatus afterwards
			}{{true, "True", 200}, {false, "False", 404}} {
				if status, err := s.Monitor(t.Context(), ann, step.on); status != 200 || err != nil {
					t.Errorf("Monitor(%t) = %d, %v, want 200", step.on, status, err)
				}
				if got, want := m.got(), tt.authorization+posted(ann, step.status); got[len(got)-1] != want {
					t.Errorf("posted = %q, want %q last", got, want)
				}
				wantSetStatus(t, s, ann, step.want)
			}
		})
	}
	m.Close()
	if _, err := start(t, mediatorsim.Config{MonitorURL: m.URL}).Monitor(t.Context(), ann, true); err == nil {
		t.Error("Monitor without a monitor = nil, want an error")
	}
}
