package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

var redisRemedies = remedies{
	unknownHost: "check the host in REDIS_URL, and this machine's DNS",
	refused:     "start Redis, or correct host and port in REDIS_URL; a Redis that binds to 127.0.0.1 is not reachable from elsewhere",
	noTLS:       "use redis:// instead of rediss:// in REDIS_URL, or the port on which it speaks TLS",
	wrongHost:   "use the name that its certificate is for in REDIS_URL",
	closed:      "use rediss:// in REDIS_URL if it speaks TLS, and check its log",
	other:       "check host and port in REDIS_URL, the firewall, and whether it speaks TLS (rediss://) or not (redis://)",
}

// redisErrors are recognized by a part of their text.
var redisErrors = []struct {
	contains, remedy string
	login            bool // it is about user and password
}{
	{"WRONGPASS", "correct user and password in REDIS_URL: redis://user:password@host:6379/0, special characters percent-encoded", true},
	{"NOAUTH", "set the password in REDIS_URL: redis://:password@host:6379/0, special characters percent-encoded", true},
	{"ERR AUTH", "remove the password from REDIS_URL: this Redis has none", true},
	{"NOPERM", messagePattern.ReplaceAllString(store.ErrRefused.Error(), "$2"), false},
	{"LOADING", "wait until it has loaded its data", false},
	{"MASTERDOWN", "find out why its master is down", false},
	{"ERR DB index", "use an existing database number in REDIS_URL", false},
	{"ERR max number of clients", "raise maxclients, or disconnect other clients", false},
	{"cluster support disabled", "remove ?addr=… from REDIS_URL: this Redis is not a Cluster", false},
	{"all sentinels", "check the addresses of the Sentinels and master_name in REDIS_URL", false},
}

// Remedies for a refused login that depend on REDIS_URL and REDIS_AUTH.
const (
	sentinelPasswords = "check both passwords in REDIS_URL: redis://user:password@host:26379 is for the Sentinels, " +
		"?username=…&password=… for Redis itself, special characters percent-encoded"
	redisAccess = "give the identity that logs in access to the data: " +
		"Azure portal > your Azure Managed Redis > Authentication > Microsoft Entra Authentication > Select member"
	redisKeysOff = "if this is Azure Managed Redis, whose access keys are off by default, remove them and set REDIS_AUTH=entra"
)

func (d *diagnosis) redis(ctx context.Context) Result {
	if d.cfg.Settings.RedisURL.IsZero() {
		return warning("REDIS_URL is not set: Redis runs inside the process, and all state is lost at exit",
			"set REDIS_URL to a Redis 6.2 or later, such as redis://127.0.0.1:6379/0")
	}
	mistaken := d.mistaken(loginSettings)
	if d.cfg.Settings.RedisEntra && mistaken != "" {
		return skipped("%s", mistaken)
	}
	report, err := d.cfg.Redis.Inspect(ctx)
	if err == nil && mistaken == "" { // the fingerprint is made of some of them
		err = d.cfg.Redis.CheckFingerprint(ctx)
	}
	if err == nil {
		err = d.cfg.Redis.Check(ctx)
	}
	d.redisReport = report
	switch {
	case errors.Is(err, store.ErrNoMessages):
		return warning(splitRemedy(err.Error()))
	case err != nil:
		return d.redisFailure(err)
	}
	return ok("%s, %s", report.Server, cmp.Or(report.Topology, "one server"))
}

// redisFailure returns the result of an error of Redis.
func (d *diagnosis) redisFailure(err error) Result {
	text := err.Error()
	if isAny(err, store.ErrTooOld, store.ErrReplica, store.ErrClusterNode, store.ErrForeign, store.ErrNewerSchema, store.ErrOlderSchema, store.ErrRefused) {
		return failed(splitRemedy(text))
	}
	if isAny(err, ooo.ErrUnauthorized, ooo.ErrUnavailable) { // with REDIS_AUTH=entra
		return d.loginFailure(err)
	}
	url := d.cfg.Settings.RedisURL.URL()
	for _, r := range redisErrors {
		switch found := "it answers " + sanitize(text); {
		case !strings.Contains(text, r.contains):
		case r.login && d.cfg.Settings.RedisEntra:
			return failed(found, redisAccess)
		case r.login && url.Query().Has("master_name"):
			return failed(found, sentinelPasswords)
		case r.login && url.Scheme == "rediss":
			return failed(found, r.remedy+"; "+redisKeysOff)
		default:
			return failed(found, r.remedy)
		}
	}
	return redisRemedies.failure(err, url.Host)
}

func (d *diagnosis) persistence(context.Context) Result {
	return d.configured(false, d.redisReport.Persistence)
}

func (d *diagnosis) eviction(context.Context) Result {
	found := d.redisReport.Policy
	if found != "" && d.redisReport.Memory != "" {
		found += ", " + d.redisReport.Memory
	}
	return d.configured(true, found)
}

// configured returns a warning with the first finding of a kind, otherwise ok with found.
func (d *diagnosis) configured(eviction bool, found string) Result {
	for _, f := range d.redisReport.Findings {
		if f.Eviction == eviction {
			return warning(f.Problem, f.Remedy)
		}
	}
	if found == "" {
		return skipped("this Redis does not report it")
	}
	return ok("%s", found)
}

const (
	pings = 11
	// maxLatency is acceptable for each of the few round trips of a change.
	maxLatency = 20 * time.Millisecond
	// maxRedisDrift is how far the clocks may differ.
	maxRedisDrift = time.Second
)

func (d *diagnosis) latency(ctx context.Context) Result {
	var times []time.Duration
	for range pings {
		began := time.Now()
		if err := d.cfg.Redis.Ping(ctx); err != nil {
			return d.redisFailure(err)
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	median := times[len(times)/2]
	text := fmt.Sprintf("%s, the median of %d pings (%s to %s)", round(median), pings, round(times[0]), round(times[len(times)-1]))
	if median > maxLatency {
		return warning(text, "run Redis and the service in the same network: each change takes a few round trips")
	}
	return ok("%s", text)
}

func (d *diagnosis) clock(ctx context.Context) Result {
	before := time.Now()
	now, err := d.cfg.Redis.Now(ctx)
	if err != nil {
		return d.redisFailure(err)
	}
	took := time.Since(before)
	off := now.Sub(before.Add(took / 2))
	if off.Abs() > maxRedisDrift+took {
		return warning("compared with Redis, this machine's clock is "+drift(off), "synchronize the clocks of both over the network")
	}
	return ok("within %s of this machine's clock", round(off.Abs()+took))
}
