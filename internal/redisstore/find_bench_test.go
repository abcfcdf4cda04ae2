package redisstore_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redisstore"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/ui"
)

// many is how many users one app can read every 2 s.
const many = 26_000

// town is a store of many users whose mailboxes were read and are covered. Every
// tenth is out of office, of every hundredth the subscription failed, and every
// fiftieth is yet to be told.
type town struct{ *redisstore.Store }

func openTown(b *testing.B) town {
	b.Helper()
	s, err := redisstore.Open(redisstore.Config{URL: redistest.Start(b).URL()})
	if err != nil {
		b.Fatal(err)
	}
	t := town{s}
	b.Cleanup(func() { t.Close() })
	if err := t.Ready(b.Context()); err != nil {
		b.Fatal(err)
	}
	var starting errgroup.Group
	starting.SetLimit(64)
	for i := range many {
		starting.Go(func() error {
			name := fmt.Sprintf("user%05d", i)
			_, err := t.Start(b.Context(), name+"@contoso.example", ooo.Person{
				ID:                ooo.ObjectID(fmt.Sprintf("00000000-0000-0000-0000-%012d", i)),
				UserPrincipalName: name + "@contoso.example", DisplayName: fmt.Sprintf("Person %05d of Contoso", i),
			})
			return err
		})
	}
	if err := starting.Wait(); err != nil {
		b.Fatal(err)
	}
	t.each(b, ooo.ReadQueue, t.readOne)
	t.each(b, ooo.SubscribeQueue, t.coverOne)
	t.each(b, ooo.DeliverQueue, t.tellOne)
	return t
}

// each works through all that is due in a queue.
func (t town) each(b *testing.B, q ooo.Queue, work func(b *testing.B, c ooo.Claim, u ooo.User) error) {
	b.Helper()
	for done := 0; done < many; {
		batch, err := t.Claim(b.Context(), q, 500, time.Minute)
		if err != nil {
			b.Fatal(err)
		}
		keys := make([]ooo.Key, len(batch.Claims))
		for i, c := range batch.Claims {
			keys[i] = c.Key
		}
		users, err := t.Named(b.Context(), keys)
		if err != nil || len(users) != len(keys) {
			b.Fatalf("Named = %d users, %v, want %d", len(users), err, len(keys))
		}
		var working errgroup.Group
		working.SetLimit(64)
		for i, c := range batch.Claims {
			working.Go(func() error { return work(b, c, users[i]) })
		}
		if err := working.Wait(); err != nil {
			b.Fatal(err)
		}
		done += len(keys)
	}
}

// number is the one in a user's address.
func number(u ooo.User) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(strings.TrimSuffix(u.Address, "@contoso.example"), "user"))
	return n
}

func (t town) readOne(b *testing.B, c ooo.Claim, u ooo.User) error {
	setting := off
	if number(u)%10 == 0 {
		setting = on
	}
	_, err := t.Record(b.Context(), c, ooo.Change{
		Revision: u.Revision, Setting: setting, Fingerprint: setting.Fingerprint(),
		Decision: policy.Decide(u.State, setting, time.Now()), At: time.Now(),
	})
	if err != nil {
		return err
	}
	return t.Done(b.Context(), c.Queue, []ooo.Finished{{Claim: c, Next: time.Now().Add(time.Hour), Read: true}})
}

func (t town) coverOne(b *testing.B, c ooo.Claim, u ooo.User) error {
	if _, err := t.JoinMailbox(b.Context(), c, u); err != nil {
		return err
	}
	sub := ooo.Subscription{Resource: calendar, ID: ooo.SubscriptionID(u.Person.ID), State: ooo.SubscriptionLive, ExpiresAt: time.Now().Add(time.Hour).UTC()}
	if number(u)%100 == 1 {
		sub.State, sub.Error = ooo.SubscriptionFailed, "Graph says no"
	}
	if err := t.SaveSubscription(b.Context(), c, sub); err != nil {
		return err
	}
	return t.Done(b.Context(), c.Queue, []ooo.Finished{{Claim: c, Next: time.Now().Add(time.Hour)}})
}

func (t town) tellOne(b *testing.B, c ooo.Claim, u ooo.User) error {
	parcel, _, err := t.Begin(b.Context(), c)
	if err != nil {
		return err
	}
	state := ooo.DeliveryDelivered
	if number(u)%50 == 2 {
		state = ooo.DeliveryPending
	}
	return t.Finish(b.Context(), c, ooo.Receipt{Parcel: parcel, State: state, Next: time.Now().Add(time.Hour)})
}

// busy returns how long Redis has worked, which other programs on the machine do
// not change.
func (t town) busy(b *testing.B) time.Duration {
	b.Helper()
	said, err := t.Client().Info(b.Context(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	var sum float64
	for line := range strings.Lines(said) {
		for _, name := range []string{"used_cpu_sys:", "used_cpu_user:"} {
			if text, ok := strings.CutPrefix(strings.TrimSpace(line), name); ok {
				seconds, _ := strconv.ParseFloat(text, 64)
				sum += seconds
			}
		}
	}
	return time.Duration(sum * float64(time.Second))
}

// measured runs do and reports what Redis took too.
func (t town) measured(b *testing.B, do func()) {
	b.Helper()
	before := t.busy(b)
	for b.Loop() {
		do()
	}
	b.ReportMetric(float64((t.busy(b)-before).Microseconds())/1000/float64(b.N), "redis-ms/op")
}

// BenchmarkFind measures what is asked about all users: what the operator's page
// shows, from the request to the answer, and the census of the metrics.
func BenchmarkFind(b *testing.B) {
	t := openTown(b)
	page, err := ui.New(ui.Config{Store: t, API: http.NotFoundHandler(), Resources: []string{calendar}, Interval: 2 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	page.Register(engine)
	server := httptest.NewServer(engine)
	b.Cleanup(server.Close)
	pages := []struct{ name, query, holds string }{
		{"a page of everyone", "", `"total":26000`},
		{"a search that few fit", "q=r0012", `"total":10`},
		{"a search that everyone fits", "q=contoso", `"total":26000`},
		{"a filter", "filter=away", `"total":2600`},
		{"a filter that few fit", "filter=failed", `"total":260`},
		{"a search and a filter", "q=r0&filter=untold", `"total":200`},
	}
	for _, p := range pages {
		b.Run(p.name, func(b *testing.B) {
			t.measured(b, func() {
				response, err := http.Get(server.URL + "/ui/api/users?" + p.query)
				if err != nil {
					b.Fatal(err)
				}
				defer response.Body.Close()
				body, err := io.ReadAll(response.Body)
				if err != nil || !bytes.Contains(body, []byte(p.holds)) {
					b.Fatalf("answer = %s, %v, %.200s, want %s", response.Status, err, body, p.holds)
				}
			})
		})
	}
	b.Run("the digest, anew", func(b *testing.B) {
		t.measured(b, func() {
			lose(b, t.Store)
			if _, err := t.Find(b.Context(), ooo.Query{Resources: []string{calendar}}); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("all counted", func(b *testing.B) {
		t.measured(b, func() {
			if _, err := t.Find(b.Context(), ooo.Query{Resources: []string{calendar}}); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("a census", func(b *testing.B) {
		t.measured(b, func() {
			if err := t.Client().Del(b.Context(), "om:census").Err(); err != nil {
				b.Fatal(err)
			}
			if c, err := t.Census(b.Context(), []string{calendar}); err != nil || c.Away != many/10 {
				b.Fatalf("Census = %d away, %v, want %d", c.Away, err, many/10)
			}
		})
	})
}
