package main_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/redistest"
)

// BenchmarkCover measures how long it takes to cover many users within Graph's
// quota of subscription writes, what a restart costs, and how long a new
// PUBLIC_URL takes to be patched in. The local Graph keeps to the real quotas.
// COVER_USERS says how many; 10,000 take a quarter of an hour.
func BenchmarkCover(b *testing.B) {
	count, err := strconv.Atoi(os.Getenv("COVER_USERS"))
	if err != nil {
		count = 1000
	}
	w := world(b, redistest.Start(b).URL(), graphsim.Config{Seed: 22})
	w.env["LOG_LEVEL"], w.env["POLL_INTERVAL"] = "warn", "60s" // what is measured here is the cover
	p := w.start("serve")
	w.answers()
	users, err := w.sim.AddUsers(count, "contoso.example")
	if err != nil {
		b.Fatal(err)
	}
	addresses := make([]string, len(users))
	for i, u := range users {
		addresses[i] = u.UserPrincipalName
	}
	w.mediator.Add(addresses...)
	body, err := json.Marshal(map[string]any{"emails": addresses})
	if err != nil {
		b.Fatal(err)
	}
	covered := func() bool {
		n := w.covered()
		for _, u := range users {
			if n[u.ID] != 1 {
				return false
			}
		}
		return true
	}
	writes := func() (n, throttled int64) {
		stats := w.sim.Stats()
		for _, op := range []string{"subscription-create", "subscription-renew", "subscription-delete"} {
			for status, times := range stats.Calls[op] {
				if n += times; status == "429" {
					throttled += times
				}
			}
		}
		return n, throttled
	}
	// phase measures until done, and reports under name.
	phase := func(name string, done func() bool) {
		began := time.Now()
		for !done() {
			if time.Since(began) > 30*time.Minute {
				b.Fatalf("%s is not done after %v", name, time.Since(began))
			}
			time.Sleep(200 * time.Millisecond)
		}
		calls, throttled := writes()
		b.ReportMetric(time.Since(began).Seconds(), name+"-s")
		b.ReportMetric(float64(calls), name+"-writes")
		b.ReportMetric(float64(throttled), name+"-429")
		w.sim.ResetStats()
	}
	for b.Loop() {
		w.sim.ResetStats()
		if status, answer := w.post("/api/users", string(body)); status != http.StatusAccepted {
			b.Fatalf("POST /api/users = %d %s, want 202", status, answer)
		}
		phase("cover", covered)

		p.stop()
		p = w.start("serve")
		w.answers()
		settled := time.Now()
		phase("restart", func() bool { return time.Since(settled) > 15*time.Second })

		p.stop()
		moved := "http://localhost:" + w.base[len("http://127.0.0.1:"):]
		w.env["PUBLIC_URL"] = moved
		p = w.start("serve")
		phase("move", func() bool {
			for _, sub := range w.sim.Subscriptions() {
				if len(sub.NotificationURL) < len(moved) || sub.NotificationURL[:len(moved)] != moved {
					return false
				}
			}
			return true
		})
		b.ReportMetric(0, "ns/op")
	}
}
