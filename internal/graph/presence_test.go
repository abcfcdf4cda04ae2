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
	w.change(ids[1], graphsim.AutomaticRepliesUpdate{Status: new("disabled")})
	got, err := w.client().Presences(t.Context(), []ooo.ObjectID{ids[0], ids[1], "8c1d3b52-0000-4000-8000-000000000000"})
	if want := map[ooo.ObjectID]bool{ids[0]: true, ids[1]: false}; err != nil || !maps.Equal(got, want) {
		t.Errorf("Presences = %v, %v, want %v: nothing of who does not exist", got, err, want)
	}
}
