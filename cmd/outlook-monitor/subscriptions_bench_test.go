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

// BenchmarkCover measures how long it takes to create subscriptions for many users within
// Graph's quota of subscription writes, what a restart costs, and how long it takes to patch
// in a new PUBLIC_URL. The local Graph applies the real quotas. COVER_USERS sets the number
// of users; 10,000 take a quarter of an hour.
func BenchmarkCover(b *testing.B) {
	count, err := strconv.Atoi(os.Getenv("COVER_USERS"))
	if err != nil {
		count = 1000
	}
	tb := newTestbed(b, redistest.Start(b).URL(), graphsim.Config{Seed: 22})
	tb.env["LOG_LEVEL"], tb.env["POLL_INTERVAL"] = "warn", "60s" // keeps reads from affecting the result
	p := tb.start("serve")
	tb.waitReady()
	users, err := tb.sim.AddUsers(count, "contoso.example")
	if err != nil {
		b.Fatal(err)
	}
	addresses := make([]string, len(users))
	for i, u := range users {
		addresses[i] = u.UserPrincipalName
	}
	tb.mediator.Add(addresses...)
	body, err := json.Marshal(map[string]any{"emails": addresses})
	if err != nil {
		b.Fatal(err)
	}
	covered := func() bool {
		n := tb.covered()
		for _, u := range users {
			if n[u.ID] != 1 {
				return false
			}
		}
		return true
	}
	writes := func() (n, throttled int64) {
		stats := tb.sim.Stats()
		for _, op := range []string{"subscription-create", "subscription-renew", "subscription-delete"} {
			for status, times := range stats.Calls[op] {
				if n += times; status == "429" {
					throttled += times
				}
			}
		}
		return n, throttled
	}
	// phase reports time and writes until done returns true.
	phase := func(name string, done func() bool) {
		began := time.Now()
		for !done() {
			if time.Since(began) > 30*time.Minute {
				b.Fatalf("%s not done after %v", name, time.Since(began))
			}
			time.Sleep(200 * time.Millisecond)
		}
		calls, throttled := writes()
		b.ReportMetric(time.Since(began).Seconds(), name+"-s")
		b.ReportMetric(float64(calls), name+"-writes")
		b.ReportMetric(float64(throttled), name+"-429")
		tb.sim.ResetStats()
	}
	for b.Loop() {
		tb.sim.ResetStats()
		if status, answer := tb.post("/api/users", string(body)); status != http.StatusAccepted {
			b.Fatalf("POST /api/users = %d %s, want 202", status, answer)
		}
		phase("cover", covered)

		p.stop()
		p = tb.start("serve")
		tb.waitReady()
		settled := time.Now()
		phase("restart", func() bool { return time.Since(settled) > 15*time.Second })

		p.stop()
		moved := "http://localhost:" + tb.base[len("http://127.0.0.1:"):]
		tb.env["PUBLIC_URL"] = moved
		p = tb.start("serve")
		phase("move", func() bool {
			for _, sub := range tb.sim.Subscriptions() {
				if len(sub.NotificationURL) < len(moved) || sub.NotificationURL[:len(moved)] != moved {
					return false
				}
			}
			return true
		})
		b.ReportMetric(0, "ns/op")
	}
}
