package main_test

import (
	"cmp"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/redistest"
)

// managedRedis is a testbed with an Azure Managed Redis without access keys.
type managedRedis struct {
	*testbed
	redis  *redistest.Entra
	tokens atomic.Int32 // issued for Redis
	denied atomic.Bool  // no further token has an access policy
}

func newManagedRedis(t *testing.T, lifetime time.Duration) *managedRedis {
	t.Helper()
	tb := &managedRedis{redis: redistest.StartEntra(t)}
	tb.testbed = newTestbed(t, tb.redis.URL(), graphsim.Config{
		Seed: 36, TokenLifetime: lifetime,
		OnToken: func(_, user, token string, lifetime time.Duration) {
			if tb.tokens.Add(1); !tb.denied.Load() {
				tb.redis.AddToken(user, token, lifetime)
			}
		},
	})
	tb.env["REDIS_AUTH"] = "entra"
	filetest.Write(t, tb.env["SSL_CERT_FILE"], string(tb.sim.CAPEM())+filetest.Read(t, tb.redis.CAFile))
	return tb
}

var failedCommand = regexp.MustCompile(`(?m)^outlook_monitor_redis_commands_total\{command="(.*)",outcome="failed"`)

func TestTokenRenewal(t *testing.T) {
	t.Parallel()
	tb := newManagedRedis(t, 4*time.Second)
	load := newWorkload(tb.testbed, 3)
	p := tb.start("serve")
	load.waitDelivered()
	for last := tb.tokens.Load() + 5; tb.tokens.Load() < last; {
		load.change()
		load.waitDelivered()
	}
	if load.round < 5 {
		t.Errorf("%d changes during 5 renewals, want at least 5", load.round)
	}
	for operation, statuses := range tb.sim.Stats().Calls { // the tokens for Graph are renewed too
		if n := statuses["401"]; n != 0 {
			t.Errorf("%d calls of %s answered with 401, want none", n, operation)
		}
	}
	_, metrics := tb.get("/metrics")
	for _, failed := range failedCommand.FindAllStringSubmatch(metrics, -1) {
		// go-redis uses a feature that this Redis lacks (CLIENT), and authenticates on idle
		// connections that were closed when their token expired (AUTH).
		if command := failed[1]; command != "client" && command != "auth" {
			t.Errorf("%s failed", command)
		}
	}
	if !strings.Contains(metrics, `outlook_monitor_redis_commands_total{command="auth"`) {
		t.Error("no open connection was authenticated again")
	}
	p.stop()
	for line := range strings.SplitSeq(p.log.String(), "\n") {
		if strings.Contains(line, "redis") && strings.Contains(line, `"WARN"`) {
			t.Errorf("the log warns: %s", line)
		}
	}
}

func TestDoctorLogsInToAzureManagedRedis(t *testing.T) {
	tb := newManagedRedis(t, time.Hour)
	for _, tt := range []struct {
		name, auth, secret string
		denied             bool
		want               string
	}{
		{name: "ok", auth: "entra", want: "ok: Redis "},
		{name: "no access policy", auth: "entra", denied: true, want: "Microsoft Entra Authentication > Select member"},
		{name: "wrong secret", auth: "entra", secret: "wrong", want: "failed: the client secret is wrong (AADSTS7000215)"},
		{name: "access key", auth: "url", want: "set REDIS_AUTH=entra"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tb.env["REDIS_AUTH"] = tt.auth
			tb.env["AZURE_CLIENT_SECRET"] = cmp.Or(tt.secret, graphsim.DefaultClientSecret)
			tb.denied.Store(tt.denied)
			report, _ := tb.doctor()
			if got := checkResult(report, "Redis"); !strings.Contains(got, tt.want) {
				t.Errorf("Redis = %s, want %q", got, tt.want)
			}
		})
	}
}
