package bench_test

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace/noop"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/store"
	"outlook-monitor/internal/webhook"
)

// runInbox runs only the package that receives notifications, with its Redis. Nothing
// reads the mailboxes.
func runInbox(ctx context.Context, redisURL string, report func(any)) error {
	hints, err := store.Open(store.Config{URL: redisURL})
	if err != nil {
		return err
	}
	defer hints.Close()
	if err := hints.Ready(ctx); err != nil {
		return err
	}
	keys := ooo.NewClientStateKeys(clientStateKey)
	log := slog.New(slog.DiscardHandler)
	engine := api.NewEngine(log)
	webhook.New(webhook.Config{
		Ready: func() bool { return true },
		LeaveHints: func(ctx context.Context, left ...ooo.Hint) error {
			for i := range left {
				left[i].Nonce = cryptorand.Text() // like the registry
			}
			return hints.LeaveHints(ctx, false, left...)
		},
		Keys:    func(context.Context) (ooo.ClientStateKeys, error) { return keys, nil },
		Public:  server.NewPublic(server.PublicConfig{Concurrency: 256, Refused: func(int) {}, Log: log}),
		Counted: func(string, int) {}, Answered: func(time.Duration) {}, Tracer: noop.Tracer{}, Log: log,
	}).Register(engine)
	return serve(ctx, engine, report)
}

// runInboxFloor receives notifications at the least possible cost: it decodes them and
// writes to Redis in one pipeline.
func runInboxFloor(ctx context.Context, redisURL string, report func(any)) error {
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		return err
	}
	client := redis.NewClient(options)
	defer client.Close()
	return serve(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Value []struct {
				SubscriptionID string `json:"subscriptionId"`
				ClientState    string `json:"clientState"`
				ChangeType     string `json:"changeType"`
			} `json:"value"`
		}
		if json.NewDecoder(r.Body).Decode(&body) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		now := float64(time.Now().UnixMilli())
		pipe := client.Pipeline()
		for _, it := range body.Value {
			pipe.ZAdd(r.Context(), "floor", redis.Z{Score: now, Member: it.SubscriptionID})
		}
		if _, err := pipe.Exec(r.Context()); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	}), report)
}

func serve(ctx context.Context, handler http.Handler, report func(any)) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	report("http://" + ln.Addr().String())
	return server.Serve(ctx, server.Listener{Listener: ln, Handler: handler}, slog.New(slog.DiscardHandler))
}

// inbox is a client of one of the two processes.
type inbox struct {
	*programtest.Process
	url string
}

func startInbox(t testing.TB, role, redisURL string) (in inbox) {
	t.Helper()
	in.Process = startRole(t, role, redisURL, &in.url)
	in.url += notificationPath
	return in
}

// inboxTime is the length of one measurement.
const inboxTime = time.Second

// measure sends POSTs with some items each, a number of them concurrently. It returns the
// median time in ms, and the CPU time of a POST in µs.
func (in inbox) measure(t testing.TB, notifications []string, items, workers int) (latency, cpu float64) {
	t.Helper()
	var mu sync.Mutex
	var all []float64
	before := cpuOf(t, in.PID())
	end := time.Now().Add(inboxTime)
	var running sync.WaitGroup
	for worker := range workers {
		running.Go(func() {
			random := rand.New(rand.NewPCG(32, uint64(worker)))
			var took []float64
			for time.Now().Before(end) {
				from := random.IntN(len(notifications) - items)
				body := collection(notifications[from : from+items])
				began := time.Now()
				if err := post(in.url, body, http.StatusAccepted); err != nil {
					t.Error(err)
					return
				}
				took = append(took, ms(time.Since(began)))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
		})
	}
	running.Wait()
	if len(all) == 0 {
		t.Fatal("no POST was accepted")
	}
	return median(all), 1e6 * (cpuOf(t, in.PID()) - before) / float64(len(all))
}

// BenchmarkInbox is part b: the time from the POST of a notification to its 202.
func BenchmarkInbox(b *testing.B) {
	const users = 1000
	for b.Loop() {
		tb := newTestbed(b, config{users: users})
		notifications := notificationItems(tb.graph.users)
		own, floor := startInbox(b, "inbox", tb.redisURL), startInbox(b, "inbox floor", tb.redisURL)
		heading("b. receiving notifications, only the package with its Redis")
		for _, items := range []int{1, 20, 100} {
			for _, workers := range []int{1, 8} {
				var latency, cpu, floorLatency, floorCPU []float64
				for range 3 {
					l, c := own.measure(b, notifications, items, workers)
					latency, cpu = append(latency, l), append(cpu, c)
					l, c = floor.measure(b, notifications, items, workers)
					floorLatency, floorCPU = append(floorLatency, l), append(floorCPU, c)
				}
				name := fmt.Sprintf("items: %d, requests at once: %d", items, workers)
				row(name+": POST to 202, median", 1000*median(latency), "µs", 1000*median(floorLatency), "≤ 1.3 × floor")
				row(name+": CPU of a POST", median(cpu), "µs", median(floorCPU), "")
			}
		}
	}
}

const notificationPath = "/graph/notifications"

// notificationItem returns a valid notification item for a user, formatted like Graph's.
func notificationItem(u graphsim.User) string {
	state := ooo.NewClientStateKeys(clientStateKey).Derive(ooo.ObjectID(u.ID), "/users/{id}/events")
	event := "AAMkADk0MGFkODE3LWE4MmYtNDRhOS04OGQxLTkyNGRkN2NhMmVlYgBGAAAAAAAB" + u.ID
	return `{"subscriptionId":"` + u.ID + `","subscriptionExpirationDateTime":"2026-12-01T10:00:00.0000000Z",` +
		`"changeType":"updated","resource":"Users/` + u.ID + `/Events/` + event + `","clientState":"` + state + `",` +
		`"tenantId":"` + graphsim.DefaultTenantID + `","resourceData":{"@odata.type":"#Microsoft.Graph.Event",` +
		`"@odata.id":"Users/` + u.ID + `/Events/` + event + `","@odata.etag":"W/\"DwAAABYAAAC4ofQHEIqCSbQPot83AFcbAAAW/0tB\"","id":"` + event + `"}}`
}

func notificationItems(users []graphsim.User) []string { return each(users, notificationItem) }

func collection(items []string) []byte { return []byte(`{"value":[` + strings.Join(items, ",") + `]}`) }
