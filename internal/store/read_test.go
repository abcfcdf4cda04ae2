package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

// news lists who the news is about and what it says.
func news(news []ooo.FeedEntry) string {
	var all []string
	for _, n := range news {
		name, _, _ := strings.Cut(n.Address, "@")
		all = append(all, name+" "+string(n.Kind))
	}
	return strings.Join(all, ", ")
}

var readSuite = map[string]func(*testing.T, *world){
	"a user is what the wish and the record say": func(t *testing.T, w *world) {
		user := func(address string) ooo.User {
			t.Helper()
			u, err := w.User(t.Context(), address)
			w.must(err)
			return u
		}
		_, err := w.User(t.Context(), "ann@contoso.example")
		w.is(err, ooo.ErrNotMonitored)
		ann := w.start("ann")
		pending := ooo.PendingUser(ann.Address, ann.Person)
		if got := user("ANN@contoso.example"); !reflect.DeepEqual(got, pending) {
			t.Errorf("user = %+v, want %+v", got, pending)
		}
		m := mailbox("ann")
		m.Addresses = append(m.Addresses, ooo.Address{Spelling: "alias@contoso.example"})
		w.must(w.Save(t.Context(), store.Save{Lease: w.own(m), Record: m}))
		spelled := ann
		spelled.Address, spelled.Nonce = "Ann@contoso.example", "spelled"
		w.wants(ann, spelled, wishHint(spelled))
		if got := user("ann@contoso.example"); got.Spelling != spelled.Address || got.Condition != ooo.Watching || len(got.Addresses) != 2 || got.State == nil || !got.State.Away {
			t.Errorf("user = %+v, want the record under its last spelling", got)
		}
		other := on("other", "o")
		other.Person = ann.Person
		w.wants(ooo.Wish{}, other, wishHint(other)) // the owner has yet to add the address
		if got := user("other@contoso.example"); got.Condition != ooo.Pending {
			t.Errorf("user = %+v, want it pending", got)
		}
		w.stop(spelled)
		_, err = w.User(t.Context(), "ann@contoso.example")
		w.is(err, ooo.ErrNotMonitored)
	},
	"a mailbox was checked when record or reads say, whichever is later": func(t *testing.T, w *world) {
		saved := time.UnixMilli(10_000).UTC()
		w.monitor("ann", func(m *ooo.Mailbox, _ *ooo.Address) { m.CheckedAt = saved })
		w.monitor("new", asIs)
		p, later := mailbox("ann").ID.Partition(), saved.Add(time.Minute)
		steps := []struct {
			name  string
			reads store.Reads
			want  time.Time
		}{
			{"reads are newer", store.Reads{At: later}, later},
			{"reads are older", store.Reads{At: saved.Add(-time.Minute)}, saved},
			{"it is an exception", store.Reads{At: later, Except: map[ooo.RecordID]time.Time{"id-ann": saved.Add(time.Second)}}, saved.Add(time.Second)},
			{"another one is", store.Reads{At: later, Except: map[ooo.RecordID]time.Time{"id-bob": {}}}, later},
		}
		for _, step := range steps {
			w.must(w.PutReads(t.Context(), map[int]store.Reads{p: step.reads, mailbox("new").ID.Partition(): step.reads}))
			for name, want := range map[string]time.Time{"ann": step.want, "new": {}} {
				u, err := w.User(t.Context(), name+"@contoso.example")
				if w.must(err); !u.CheckedAt.Equal(want) {
					t.Errorf("%s: checked %s = %v, want %v", step.name, name, u.CheckedAt, want)
				}
			}
		}
		w.damage("reads", fmt.Sprint(p), "{")
		if u, err := w.User(t.Context(), "ann@contoso.example"); err != nil || !u.CheckedAt.Equal(saved) {
			t.Errorf("checked = %v, %v, want what the record says", u.CheckedAt, err)
		}
	},
	"a history is read newest first": func(t *testing.T, w *world) {
		_, err := w.History(t.Context(), "ann@contoso.example", 10)
		w.is(err, ooo.ErrNotMonitored)
		ann := w.monitor("ann", asIs)
		m := next(mailbox("ann"))
		away := event(m, ooo.EventChanged)
		away.Away, away.Sequence = new(true), 3
		w.must(w.Save(t.Context(), store.Save{Lease: w.own(m), Record: m, Events: []ooo.FeedEntry{away, event(m, ooo.EventDelivered)}}))
		events, err := w.History(t.Context(), "ANN@contoso.example", 2)
		if w.must(err); len(events) != 2 || events[0].Kind != ooo.EventDelivered || events[1].Sequence != 3 || events[1].Away == nil || !*events[1].Away {
			t.Errorf("History = %+v, want the newest two", events)
		}
		w.stop(ann)
		_, err = w.History(t.Context(), "ann@contoso.example", 10)
		w.is(err, ooo.ErrNotMonitored)
	},
	"news comes once, in order, from a position": func(t *testing.T, w *world) {
		read := func(from, want string) (position string) {
			t.Helper()
			got, position, err := w.FeedAfter(t.Context(), from)
			if w.must(err); news(got) != want || position == "" {
				t.Errorf("News(%q) = %q at %q, want %q", from, news(got), position, want)
			}
			return position
		}
		start := read("", "")
		w.monitor("ann", asIs)
		w.monitor("bob", asIs)
		position := read(start, "ann started, bob started")
		read(position, "")
		for _, unknown := range []string{"", "1-2-3", "x", "5", "-", "+", "01-1", "a.b-c.d"} {
			if got := read(unknown, ""); got != position {
				t.Errorf("position after %q = %q, want the present", unknown, got)
			}
		}
		got, at, err := w.RecentFeed(t.Context(), 1)
		if w.must(err); news(got) != "bob started" || got[0].Name == "" || at != position {
			t.Errorf("Recent(1) = %+v at %q, want the newest at %q", got, at, position)
		}
		w.monitor("chris", asIs)
		read(position, "chris started")
		if got, _, err := w.RecentFeed(t.Context(), 10); news(got) != "ann started, bob started, chris started" || err != nil {
			t.Errorf("Recent = %q, %v, want all three", news(got), err)
		}
	},
	"replicas live while they beat": func(t *testing.T, w *world) {
		ids := func() string {
			t.Helper()
			replicas, err := w.Replicas(t.Context())
			w.must(err)
			var all []string
			for _, r := range replicas {
				if r.Host != "host-"+r.ID || r.Load.Reads != 50 || time.Since(r.SeenAt).Abs() > time.Minute {
					t.Errorf("replica = %+v", r)
				}
				all = append(all, r.ID)
			}
			return strings.Join(all, " ")
		}
		beat := func(id string, since time.Duration) {
			t.Helper()
			load := ooo.Load{Span: 10 * time.Second, Reads: 50, Throttled: 2, Delivered: map[int]int{3: 4}}
			w.must(w.ReportLoad(t.Context(), ooo.Replica{ID: id, Host: "host-" + id, Since: time.UnixMilli(0).Add(since), Load: load}))
		}
		if got := ids(); got != "" {
			t.Errorf("Replicas = %q, want none", got)
		}
		dead := fmt.Sprint(time.Now().Add(-time.Minute).UnixMilli(), "-1")
		w.must(w.raw.Do(t.Context(), "XADD", "om:{om}:loads", dead, "r", `{"id":"dead"}`).Err())
		w.must(w.raw.Do(t.Context(), "XADD", "om:{om}:loads", "*", "r", "{").Err())
		beat("two", 2)
		beat("one", 1)
		beat("two", 2)
		if got := ids(); got != "one two" {
			t.Errorf("Replicas = %q, want one and two", got)
		}
		w.must(w.ReportStop(t.Context(), "one"))
		if got := ids(); got != "two" {
			t.Errorf("Replicas after one left = %q, want two", got)
		}
		loads, now, err := w.Loads(t.Context())
		if w.must(err); len(loads) != 4 || loads[3].Replica != "two" || loads[3].Delivered[3] != 4 || now.Before(loads[3].At) {
			t.Errorf("Loads = %+v at %v, want all four", loads, now)
		}
	},
	"a lock is one replica's until it is unlocked or expires": func(t *testing.T, w *world) {
		unlock, err := w.Lock(t.Context(), "sync", time.Minute)
		w.must(err)
		_, err = w.Lock(t.Context(), "sync", time.Minute)
		w.is(err, store.ErrLocked)
		w.must(unlock(t.Context()))
		lost, err := w.Lock(t.Context(), "sync", time.Minute)
		w.must(err)
		w.must(w.raw.Del(t.Context(), "om:{om}:lock:sync").Err())
		w.must(lost(t.Context())) // there is none to unlock
		unlock, err = w.Lock(t.Context(), "sync", time.Minute)
		w.must(err)
		w.must(lost(t.Context())) // it is another's
		_, err = w.Lock(t.Context(), "sync", time.Minute)
		w.is(err, store.ErrLocked)
		w.must(unlock(t.Context()))
		_, err = w.Lock(t.Context(), "short", time.Millisecond)
		w.must(err)
		if !strings.Contains(t.Name(), "Embedded") { // where nothing expires
			w.eventually("it has expired", func() bool {
				_, err := w.Lock(t.Context(), "short", time.Minute)
				return err == nil
			})
		}
	},
	"secrets are kept once, or put back": func(t *testing.T, w *world) {
		for _, fresh := range []string{"a", "other"} {
			if got, err := w.Secret(t.Context(), "state", fresh); got != "a" || err != nil {
				t.Errorf("Secret = %q, %v, want a", got, err)
			}
		}
		w.must(w.PutSecret(t.Context(), "state", "b"))
		if got, err := w.Secret(t.Context(), "state", "c"); got != "b" || err != nil {
			t.Errorf("Secret = %q, %v, want b", got, err)
		}
	},
	"a storage keeps what was put last, until it is deleted": func(t *testing.T, w *world) {
		v, data := w.Storage("acme"), []byte("-----BEGIN\x00\xff\r\n")
		get := func(v store.Storage, name string, want []byte) {
			t.Helper()
			if got, err := v.Get(t.Context(), name); !bytes.Equal(got, want) || (got == nil) != (want == nil) || err != nil {
				t.Errorf("Get(%s) = %#v, %v, want %#v", name, got, err, want)
			}
		}
		get(v, "a", nil)
		w.must(v.Put(t.Context(), "a", []byte("old and long")))
		w.must(v.Put(t.Context(), "a", data))
		w.must(v.Put(t.Context(), "b", nil))
		get(open(t, w.url, "").Storage("acme"), "a", data)
		get(w.Storage("other"), "a", nil)
		for range 2 {
			w.must(v.Delete(t.Context(), "a"))
		}
		get(v, "a", nil)
		get(v, "b", []byte{})
	},
}

func TestReadsFailWhileRedisIsAway(t *testing.T) {
	server := redistest.Start(t)
	w := open(t, server.URL(), "")
	server.Kill()
	ctx := within(t, 10*time.Second)
	tests := map[string]func() error{
		"User":     func() error { _, err := w.User(ctx, "ann@contoso.example"); return err },
		"Find":     func() error { _, err := w.Find(ctx, ooo.Query{Limit: 1}); return err },
		"Users":    func() error { _, _, err := w.Users(ctx, 1, ""); return err },
		"History":  func() error { _, err := w.History(ctx, "ann@contoso.example", 1); return err },
		"News":     func() error { _, _, err := w.FeedAfter(ctx, "1-1"); return err },
		"Recent":   func() error { _, _, err := w.RecentFeed(ctx, 1); return err },
		"Replicas": func() error { _, err := w.Replicas(ctx); return err },
		"Lock":     func() error { _, err := w.Lock(ctx, "a", time.Minute); return err },
		"Get":      func() error { _, err := w.Storage("a").Get(ctx, "a"); return err },
		"Inspect":  func() error { _, err := w.Inspect(ctx); return err },
	}
	for name, read := range tests {
		err := read()
		for _, other := range []error{nil, ooo.ErrNotMonitored, store.ErrLocked, store.ErrDamaged, store.ErrTooOld, store.ErrReplica, context.DeadlineExceeded} {
			if errors.Is(err, other) {
				t.Errorf("%s = %v, want an error of its own", name, err)
			}
		}
	}
}
