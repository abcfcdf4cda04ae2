package bench_test

import (
	"bytes"
	"context"
	cryptorand "crypto/rand"
	"encoding/json"
	"io"
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
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/store"
	"outlook-monitor/internal/webhook"
)

// inboxParams configures an inbox.
type inboxParams struct {
	RedisURL  string
	Addresses []string
}

type inboxInfo struct{ URL string }

// runInbox runs only the package that receives notifications, with its Redis. Nothing
// reads the mailboxes.
func runInbox(params []byte, report func(any), stopped <-chan struct{}) error {
	var o inboxParams
	if err := json.Unmarshal(params, &o); err != nil {
		return err
	}
	ctx := context.Background()
	hints, err := store.Open(store.Config{URL: o.RedisURL})
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
	return serve(engine, report, stopped)
}

// runInboxFloor receives notifications at the least possible cost: it decodes them and
// writes to Redis in one pipeline.
func runInboxFloor(params []byte, report func(any), stopped <-chan struct{}) error {
	var o inboxParams
	if err := json.Unmarshal(params, &o); err != nil {
		return err
	}
	options, err := redis.ParseURL(o.RedisURL)
	if err != nil {
		return err
	}
	client := redis.NewClient(options)
	defer client.Close()
	return serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	}), report, stopped)
}

func serve(handler http.Handler, report func(any), stopped <-chan struct{}) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() { <-stopped; stop() }()
	report(inboxInfo{"http://" + ln.Addr().String()})
	return server.Serve(ctx, server.Listener{Listener: ln, Handler: handler}, slog.New(slog.DiscardHandler))
}

// inbox is a client of one of the two processes.
type inbox struct {
	*child
	url string
}

func startInbox(t testing.TB, role string, o inboxParams) inbox {
	t.Helper()
	var at inboxInfo
	c := startRole(t, role, o, &at)
	return inbox{c, at.URL + notificationPath}
}

// inboxLoad is the result of a measurement.
type inboxLoad struct {
	latency float64 // ms, median
	cpu     float64 // µs per POST, of the receiving process
}

// inboxTime is the length of one measurement.
const inboxTime = time.Second

// measure sends POSTs with some items each, a number of them concurrently.
func (in inbox) measure(t testing.TB, notifications []string, items, workers int) inboxLoad {
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
				if status := post(in.url, body); status != http.StatusAccepted {
					t.Errorf("status = %d, want 202", status)
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
	return inboxLoad{median(all), 1e6 * (cpuOf(t, in.PID()) - before) / float64(len(all))}
}

// BenchmarkInbox is part b: the time from the POST of a notification to its 202.
func BenchmarkInbox(b *testing.B) {
	const users = 1000
	for b.Loop() {
		tb := newTestbed(b, config{users: users})
		notifications := notificationItems(tb.graph.users)
		o := inboxParams{tb.redisURL, addresses(tb.graph)}
		own, floor := startInbox(b, "inbox", o), startInbox(b, "inbox floor", o)
		heading(b, "b. receiving notifications, only the package with its Redis")
		for _, items := range []int{1, 20, 100} {
			for _, workers := range []int{1, 8} {
				var a, f [2][]float64 // latency and CPU
				for range 3 {
					one := own.measure(b, notifications, items, workers)
					a[0], a[1] = append(a[0], one.latency), append(a[1], one.cpu)
					one = floor.measure(b, notifications, items, workers)
					f[0], f[1] = append(f[0], one.latency), append(f[1], one.cpu)
				}
				name := plural(items, "item") + ", " + plural(workers, "request") + " at once"
				row(b, figure{name: name + ": POST to 202, median", value: 1000 * median(a[0]), unit: "µs", floor: 1000 * median(f[0]), goal: "≤ 1.3 × floor"})
				row(b, figure{name: name + ": CPU of a POST", value: median(a[1]), unit: "µs", floor: median(f[1])})
			}
		}
		b.ReportMetric(0, "ns/op")
	}
}

const notificationPath = "/graph/notifications"

// eventsResource is the resource of the notifications.
const eventsResource = "/users/{id}/events"

// notificationItem returns a valid notification item for a user, formatted like Graph's.
func notificationItem(u graphsim.User) string {
	state := ooo.NewClientStateKeys(clientStateKey).Derive(ooo.ObjectID(u.ID), eventsResource)
	event := "AAMkADk0MGFkODE3LWE4MmYtNDRhOS04OGQxLTkyNGRkN2NhMmVlYgBGAAAAAAAB" + u.ID
	return `{"subscriptionId":"` + u.ID + `","subscriptionExpirationDateTime":"2026-12-01T10:00:00.0000000Z",` +
		`"changeType":"updated","resource":"Users/` + u.ID + `/Events/` + event + `","clientState":"` + state + `",` +
		`"tenantId":"` + graphsim.DefaultTenantID + `","resourceData":{"@odata.type":"#Microsoft.Graph.Event",` +
		`"@odata.id":"Users/` + u.ID + `/Events/` + event + `","@odata.etag":"W/\"DwAAABYAAAC4ofQHEIqCSbQPot83AFcbAAAW/0tB\"","id":"` + event + `"}}`
}

func notificationItems(users []graphsim.User) []string {
	all := make([]string, len(users))
	for i, u := range users {
		all[i] = notificationItem(u)
	}
	return all
}

func collection(items []string) []byte { return []byte(`{"value":[` + strings.Join(items, ",") + `]}`) }

// post sends a JSON body and returns the status, or 0 without an answer.
func post(url string, body []byte) int {
	response, err := client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}
