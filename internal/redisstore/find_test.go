package redisstore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

// overviewSuite is what the operator's page asks.
var overviewSuite = map[string]func(*testing.T, store){
	"users are found by part of their name or address": findByText,
	"users are found by how they stand":                findByStanding,
	"pages follow each other without a gap":            findPages,
	"who left is not found":                            findNobody,
	"an unknown filter is refused":                     findNonsense,
	"news comes once and in order":                     newsInOrder,
	"news can be asked for from a place":               newsFromAPlace,
	"replicas live while they beat":                    replicasAlive,
}

// found lists the local parts of the users on a page.
func (s store) found(q ooo.Query) string {
	s.t.Helper()
	if q.Limit == 0 {
		q.Limit = 100
	}
	page, err := s.Find(s.t.Context(), q)
	s.must(err)
	var names []string
	for _, u := range page.Users {
		name, _, _ := strings.Cut(u.Address, "@")
		names = append(names, name)
	}
	if page.Total < len(names) {
		s.t.Errorf("Total = %d, want at least the %d on the page", page.Total, len(names))
	}
	return strings.Join(names, " ")
}

func findByText(t *testing.T, s store) {
	for _, name := range []string{"ann", "bob", "annette", "Chris"} {
		s.start(name)
	}
	tests := map[string]string{"": "ann annette bob Chris", "ann": "ann annette", "ANN": "ann annette", "chr": "Chris", "b@contoso": "bob", "%": "", "zed": ""}
	for text, want := range tests {
		if got := s.found(ooo.Query{Text: text}); got != want {
			t.Errorf("Find(%q) = %q, want %q", text, got, want)
		}
	}
}

const calendar = "/users/{id}/events"

// subscribed notes how the user's subscription stands.
func (s store) subscribed(key ooo.Key, state ooo.SubscriptionState, trouble string) {
	s.t.Helper()
	c := s.claim(ooo.SubscribeQueue, key, long)
	s.must(s.SaveSubscription(s.t.Context(), c, ooo.Subscription{Resource: calendar, State: state, Error: trouble, ExpiresAt: s.now().Add(time.Hour)}))
	s.done(c, s.now().Add(time.Hour))
}

func findByStanding(t *testing.T, s store) {
	// Claims take whoever is due, so each is done with before the next comes.
	present := s.start("present")
	s.read(present, off)
	s.subscribed(present, ooo.SubscriptionLive, "")
	away := s.start("away")
	s.read(away, on)
	s.subscribed(away, ooo.SubscriptionFailed, `Graph says "State":"live"`)
	deliver := s.claim(ooo.DeliverQueue, away, long)
	parcel, _, err := s.Begin(t.Context(), deliver)
	s.must(err)
	s.must(s.Finish(t.Context(), deliver, ooo.Receipt{Parcel: parcel, State: ooo.DeliveryRefused, Error: "no such user", Next: s.now().Add(time.Hour)}))
	unread := s.start("unread")
	s.read(unread, on)
	_, err = s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: unread, Source: ooo.SourceRequest, Urgent: true})
	s.must(err)
	s.must(s.Unknown(t.Context(), s.claim(ooo.ReadQueue, unread, long), "a reason", s.now()))
	s.start("pending")

	tests := map[ooo.Filter]string{
		ooo.Everyone: "away pending present unread", ooo.FilterAway: "away unread", ooo.FilterPresent: "present",
		ooo.FilterUnknown: "unread", ooo.FilterPending: "pending", ooo.FilterUntold: "present unread",
		ooo.FilterRefused: "away", ooo.FilterFailed: "away", ooo.FilterUncovered: "away pending unread",
	}
	counted, err := s.Find(t.Context(), ooo.Query{Resources: []string{calendar}})
	s.must(err)
	if len(counted.Users) != 0 {
		t.Errorf("users on a page of none = %d, want 0", len(counted.Users))
	}
	for filter, want := range tests {
		if got := s.found(ooo.Query{Filter: filter, Resources: []string{calendar}}); got != want {
			t.Errorf("Find(%s) = %q, want %q", filter, got, want)
		}
		if got, want := counted.Counts[filter], len(strings.Fields(want)); got != want {
			t.Errorf("Counts[%s] = %d, want %d", filter, got, want)
		}
	}
	if got := s.found(ooo.Query{Filter: ooo.FilterUncovered}); got != "" {
		t.Errorf("uncovered of nothing to cover = %q, want none", got)
	}
}

func findPages(t *testing.T, s store) {
	var want []string
	for i := range 45 {
		name := fmt.Sprintf("user%02d", i)
		s.start(name)
		want = append(want, name)
	}
	var got []string
	q := ooo.Query{Text: "user", Limit: 10}
	for range 10 {
		page, err := s.Find(t.Context(), q)
		s.must(err)
		if page.Total != 45 {
			t.Errorf("Total = %d, want 45", page.Total)
		}
		for _, u := range page.Users {
			name, _, _ := strings.Cut(u.Address, "@")
			got = append(got, name)
		}
		if q.Cursor = page.Cursor; q.Cursor == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("all pages = %v, want %v", got, want)
	}
}

func findNobody(t *testing.T, s store) {
	s.must(s.Stop(t.Context(), s.start("gone")))
	if got := s.found(ooo.Query{}); got != "" {
		t.Errorf("Find = %q, want nobody", got)
	}
}

func findNonsense(t *testing.T, s store) {
	if _, err := s.Find(t.Context(), ooo.Query{Filter: "nonsense"}); err == nil {
		t.Error("Find = nil, want an error")
	}
}

func tellAll(news []ooo.News) string {
	var told []string
	for _, n := range news {
		name, _, _ := strings.Cut(n.Address, "@")
		told = append(told, name+" "+string(n.Kind))
	}
	return strings.Join(told, ", ")
}

func newsInOrder(t *testing.T, s store) {
	_, place, err := s.News(t.Context(), "")
	s.must(err)
	ann := s.start("ann")
	time.Sleep(2 * time.Millisecond) // what happens in one moment has no order
	s.read(ann, off)
	time.Sleep(2 * time.Millisecond)
	s.start("bob")
	news, place, err := s.News(t.Context(), place)
	s.must(err)
	if got, want := tellAll(news), "ann started, ann changed, bob started"; got != want {
		t.Errorf("News = %s, want %s", got, want)
	}
	if news, _, err = s.News(t.Context(), place); err != nil || len(news) != 0 {
		t.Errorf("News = %v, %v, want none", news, err)
	}
	s.read(ann, on)
	news, _, err = s.News(t.Context(), place)
	s.must(err)
	if len(news) != 1 || news[0].Away == nil || !*news[0].Away || news[0].Name != "ann" {
		t.Errorf("News = %+v, want that ann is away", news)
	}
}

func newsFromAPlace(t *testing.T, s store) {
	s.start("ann")
	recent, place, err := s.Recent(t.Context(), 10)
	s.must(err)
	if got, want := tellAll(recent), "ann started"; got != want {
		t.Errorf("Recent = %s, want %s", got, want)
	}
	s.start("bob")
	for name, from := range map[string]string{"the place before": place, "a foreign place": "1-2-3", "an empty place": ""} {
		news, next, err := s.News(t.Context(), from)
		s.must(err)
		want := map[bool]string{true: "bob started", false: ""}[from == place]
		if got := tellAll(news); got != want || next == "" {
			t.Errorf("News from %s = %q, want %q", name, got, want)
		}
	}
	if recent, _, err = s.Recent(t.Context(), 1); err != nil || tellAll(recent) != "bob started" {
		t.Errorf("Recent(1) = %s, %v, want the newest", tellAll(recent), err)
	}
}

func replicasAlive(t *testing.T, s store) {
	began := s.now()
	load := ooo.Load{Span: 10 * time.Second, Reads: 50, Throttled: 2, Told: map[int]int{3: 4}}
	for i, id := range []string{"one", "two", "one"} {
		s.must(s.Beat(t.Context(), ooo.Replica{ID: id, Host: "host-" + id, Since: began.Add(time.Duration(-i) * time.Minute), Load: load}))
	}
	replicas, err := s.Replicas(t.Context())
	s.must(err)
	if len(replicas) != 2 || replicas[0].ID != "one" || replicas[0].Load.Reads != 50 || replicas[1].SeenAt.Before(began.Add(-time.Second)) {
		t.Errorf("Replicas = %+v, want one and two", replicas)
	}
	s.must(s.Leave(t.Context(), "one"))
	if replicas, err = s.Replicas(t.Context()); err != nil || len(replicas) != 1 || replicas[0].Host != "host-two" {
		t.Errorf("Replicas after one left = %+v, %v, want two", replicas, err)
	}
	loads, now, err := s.Loads(t.Context(), began.Add(-time.Second))
	s.must(err)
	if len(loads) != 3 || loads[0].Replica != "one" || loads[0].Told[3] != 4 || now.Before(began) {
		t.Errorf("Loads = %+v at %v, want three", loads, now)
	}
}
