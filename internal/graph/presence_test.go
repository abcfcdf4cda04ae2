package graph_test

import (
	"maps"
	"testing"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

func TestPresenceTellsWhoIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	ids := w.users(3)
	status := "disabled"
	if _, err := w.SetAutomaticReplies(string(ids[1]), graphsim.AutomaticRepliesUpdate{Status: &status}); err != nil {
		t.Fatal(err)
	}
	status = "alwaysEnabled"
	if _, err := w.SetAutomaticReplies(string(ids[0]), graphsim.AutomaticRepliesUpdate{Status: &status}); err != nil {
		t.Fatal(err)
	}
	got, err := w.client().Presences(t.Context(), []ooo.ObjectID{ids[0], ids[1], "8c1d3b52-0000-4000-8000-000000000000"})
	if want := map[ooo.ObjectID]bool{ids[0]: true, ids[1]: false}; err != nil || !maps.Equal(got, want) {
		t.Errorf("Presences = %v, %v, want %v: nothing of who does not exist", got, err, want)
	}
}

func TestPresenceIsRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cfg   graphsim.Config
		fault graphsim.Fault
		want  error
	}{
		"without the permission": {graphsim.Config{Roles: []string{"MailboxSettings.Read"}}, graphsim.Fault{}, ooo.ErrDenied},
		"by a broken Graph":      {graphsim.Config{}, graphsim.Fault{Operation: "presence", Kind: "status", Status: 503}, ooo.ErrUnavailable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tt.cfg)
			id := w.user("ann@contoso.example")
			if tt.fault.Kind != "" {
				if _, err := w.SetFault(tt.fault); err != nil {
					t.Fatal(err)
				}
			}
			_, err := w.client().Presences(t.Context(), []ooo.ObjectID{id})
			expect(t, "Presences", err, tt.want, nil)
		})
	}
}
