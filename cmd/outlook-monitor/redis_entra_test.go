package main_test

import (
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/redistest"
)

// managedRedis is a world whose Redis is an Azure Managed Redis with access keys off.
type managedRedis struct {
	*surroundings
	redis  *redistest.Entra
	tokens atomic.Int32 // issued for Redis
}

func newManagedRedis(t *testing.T, life time.Duration) *managedRedis {
	t.Helper()
	w := &managedRedis{redis: redistest.StartEntra(t)}
	w.surroundings = world(t, w.redis.URL(), graphsim.Config{
		Seed: 36, TokenLifetime: life,
		OnToken: func(_, user, token string, life time.Duration) {
			w.tokens.Add(1)
			if err := w.redis.AddToken(user, token, life); err != nil {
				t.Error(err)
			}
		},
	})
	w.env["REDIS_AUTH"] = "entra"
	ca, err := os.ReadFile(w.redis.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.env["SSL_CERT_FILE"], append(w.sim.CAPEM(), ca...), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

var failedCommand = regexp.MustCompile(`(?m)^outlook_monitor_redis_commands_total\{command="(.*)",outcome="failed"`)

func TestPollingGoesOnWhileTokensForRedisAreRenewed(t *testing.T) {
	t.Parallel()
	w := newManagedRedis(t, 4*time.Second)
	c := newCrowd(w.surroundings, 3)
	p := w.start("serve")
	c.settle()
	for last := w.tokens.Load() + 5; w.tokens.Load() < last; {
		c.change()
		c.settle()
	}
	if c.round < 5 {
		t.Errorf("%d changes over 5 renewals, want more than that to say anything", c.round)
	}
	_, metrics := w.get("/metrics")
	for _, failed := range failedCommand.FindAllStringSubmatch(metrics, -1) {
		// go-redis asks for features that this Redis lacks (CLIENT), and renews the login of
		// idle connections that ended with their token (AUTH).
		if command := failed[1]; command != "client" && command != "auth" {
			t.Errorf("%s failed", command)
		}
	}
	if !strings.Contains(metrics, `outlook_monitor_redis_commands_total{command="auth"`) {
		t.Error("no open connection was logged in again")
	}
	p.stop()
	for line := range strings.SplitSeq(p.log.String(), "\n") {
		if strings.Contains(line, "redis") && strings.Contains(line, `"WARN"`) {
			t.Errorf("the log warns: %s", line)
		}
	}
}

func TestDoctorLogsInToAzureManagedRedis(t *testing.T) {
	w := newManagedRedis(t, time.Hour)
	tests := []struct {
		name, auth, secret string
		denied             bool
		want               string
	}{
		{name: "it is let in", auth: "entra", want: "ok: Redis "},
		{name: "it has no access policy", auth: "entra", denied: true, want: "Microsoft Entra Authentication > Select member"},
		{name: "its secret is wrong", auth: "entra", secret: "wrong", want: "failed: the client secret is wrong (AADSTS7000215)"},
		{name: "it has a key", auth: "url", want: "set REDIS_AUTH=entra"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.env["REDIS_AUTH"], w.env["AZURE_CLIENT_SECRET"] = tt.auth, graphsim.DefaultClientSecret
			if tt.secret != "" {
				w.env["AZURE_CLIENT_SECRET"] = tt.secret
			}
			w.redis.DenyAccess(tt.denied)
			report, _ := w.examine()
			if got := found(report, "Redis"); !strings.Contains(got, tt.want) {
				t.Errorf("Redis = %s, want %q", got, tt.want)
			}
		})
	}
}
