package bench_test

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
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

// inboxOrder says where an inbox keeps what it takes.
type inboxOrder struct {
	RedisURL  string
	Addresses []string
}

type inboxPlace struct{ URL string }

// playInbox is the package that takes notifications, alone, with its Redis: nobody
// reads the mailboxes.
func playInbox(order []byte, tell func(any), stopped <-chan struct{}) error {
	var o inboxOrder
	if err := json.Unmarshal(order, &o); err != nil {
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
		Leave: func(ctx context.Context, left ...ooo.Hint) error {
			for i := range left {
				left[i].Nonce = cryptorand.Text() // as the registry does
			}
			return hints.LeaveHints(ctx, false, left...)
		},
		Keys:    func(context.Context) (ooo.ClientStateKeys, error) { return keys, nil },
		Public:  server.NewPublic(server.PublicConfig{Concurrency: 256, Refused: func(int) {}, Log: log}),
		Counted: func(string, int) {}, Answered: func(time.Duration) {}, Tracer: noop.Tracer{}, Log: log,
	}).Register(engine)
	return serve(engine, tell, stopped)
}

// playInboxFloor is the least that taking notifications can cost: it decodes and
// writes to Redis in one pipeline.
func playInboxFloor(order []byte, tell func(any), stopped <-chan struct{}) error {
	var o inboxOrder
	if err := json.Unmarshal(order, &o); err != nil {
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
	}), tell, stopped)
}

func serve(handler http.Handler, tell func(any), stopped <-chan struct{}) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() { <-stopped; stop() }()
	tell(inboxPlace{"http://" + ln.Addr().String()})
	return server.Serve(ctx, server.Listener{Listener: ln, Handler: handler}, slog.New(slog.DiscardHandler))
}

// inbox is one of the two, seen from here.
type inbox struct {
	*child
	url string
}

func startInbox(t testing.TB, role string, o inboxOrder) inbox {
	t.Helper()
	var at inboxPlace
	c := cast(t, role, o, &at)
	return inbox{c, at.URL + notificationPath}
}

// strain is what a while of POSTs showed.
type strain struct {
	latency float64 // ms, median
	cpu     float64 // µs per POST, of the process that takes them
}

// inboxSpan is how long POSTs are sent in one measurement.
const inboxSpan = time.Second

// strain sends POSTs of so many items in so many lanes.
func (in inbox) strain(t testing.TB, notices []string, items, lanes int) strain {
	t.Helper()
	var mu sync.Mutex
	var all []float64
	before := cpuOf(t, in.PID())
	end := time.Now().Add(inboxSpan)
	var running sync.WaitGroup
	for lane := range lanes {
		running.Go(func() {
			random := rand.New(rand.NewPCG(32, uint64(lane)))
			var took []float64
			for time.Now().Before(end) {
				from := random.IntN(len(notices) - items)
				body := collection(notices[from : from+items])
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
		t.Fatal("nothing was taken")
	}
	return strain{median(all), 1e6 * (cpuOf(t, in.PID()) - before) / float64(len(all))}
}

// BenchmarkInbox is part b: from the POST of a notification to its 202.
func BenchmarkInbox(b *testing.B) {
	const users = 1000
	for b.Loop() {
		w := newWorld(b, plan{users: users})
		notices := noticesOf(w.graph.users)
		o := inboxOrder{w.redisURL, addresses(w.graph)}
		ours, floor := startInbox(b, "inbox", o), startInbox(b, "inbox floor", o)
		heading(b, "b. taking notifications, the room alone with its Redis")
		for _, items := range []int{1, 20, 100} {
			for _, lanes := range []int{1, 8} {
				var a, f [2][]float64 // latency and CPU
				for range 3 {
					one := ours.strain(b, notices, items, lanes)
					a[0], a[1] = append(a[0], one.latency), append(a[1], one.cpu)
					one = floor.strain(b, notices, items, lanes)
					f[0], f[1] = append(f[0], one.latency), append(f[1], one.cpu)
				}
				name := plural(items, "item") + ", " + plural(lanes, "request") + " at once"
				row(b, figure{name: name + ": POST to 202, median", value: 1000 * median(a[0]), unit: "µs", floor: 1000 * median(f[0]), goal: "≤ 1.3 × floor"})
				row(b, figure{name: name + ": CPU of a POST", value: median(a[1]), unit: "µs", floor: median(f[1])})
			}
		}
		b.ReportMetric(0, "ns/op")
	}
}

func noticesOf(users []graphsim.User) []string {
	all := make([]string, len(users))
	for i, u := range users {
		all[i] = notice(u)
	}
	return all
}
