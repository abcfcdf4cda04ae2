package faults_test

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"outlook-monitor/internal/programtest"
)

// The faults of a soak: those that need no special Redis, token lifetime or timeout.
// Only processFaults replace processes of the program.
var (
	dependencyFaults = soakable(redisCells, graphCells, coverCells, mediatorCells)
	processFaults    = soakable(processCells, isolationCells)
)

func soakable(kinds ...[]cell) []cell {
	return slices.DeleteFunc(slices.Concat(kinds...), func(c cell) bool { return c.newRedis != nil || c.tokenLifetime > 0 || c.settleTimeout > 0 })
}

// soak injects one fault after another into the same testbed.
type soak struct {
	*testbed
	stream       *stream
	processes    []*samples // of all processes of the replicas, in order of their start
	redisSamples samples
	maxKills     int // by one fault
}

// BenchmarkSoak is run by scripts/soak. SOAK is how long it injects faults, not counting
// the time until all users have a subscription. Processes are replaced at most every
// 15 minutes, so that leaks have time to show.
func BenchmarkSoak(b *testing.B) {
	length, err := time.ParseDuration(cmp.Or(os.Getenv("SOAK"), "30m"))
	if err != nil {
		b.Fatalf("SOAK: %v, write it as 30m or 8h", err)
	}
	for b.Loop() {
		tb := newTestbed(b, config{seed: seed, replicaCount: 3, cell: cell{
			name: "soak", users: programtest.EnvInt("SOAK_USERS", 5000), tokenLifetime: 5 * time.Minute, settleTimeout: 15 * time.Minute,
			duplicates: afterLostAnswer, losesHistory: true, extraBuild: skewed,
		}})
		s := &soak{testbed: tb, stream: newStream(tb)}
		s.run(length)
		for _, v := range tb.violations {
			b.Errorf("%s: %s", v.promise, v.what)
		}
		if b.Failed() {
			s.keepLogs()
		}
	}
}

func logf(format string, args ...any) {
	fmt.Fprintf(os.Stdout, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

func (s *soak) run(length time.Duration) {
	s.t.Helper()
	logf("%d users, %d replicas, %v of faults, seed %d; Graph takes %v to create all subscriptions", s.users, s.replicaCount, length, seed, time.Duration(s.users/500*20)*time.Second)
	if !s.await("at the start", s.settled) {
		return
	}
	s.stopLeaver()
	for _, u := range s.stream.candidates { // the stored data of a user grows with the first state
		s.stream.numbers[u.ID]++
		s.setReplies(u, "alwaysEnabled", s.stream.numbers[u.ID], false)
	}
	s.awaitQuiet()
	logf("%-58s %8s %6s %13s %11s", "fault", "changes", "kills", "settled after", "violations")
	var dependency, process shuffled
	every := min(length/4, 15*time.Minute)
	replaced, end := time.Now(), time.Now().Add(length)
	for time.Now().Before(end) {
		if time.Since(replaced) > every {
			s.injectFault(process.draw(s.testbed, processFaults))
			replaced = time.Now()
		} else {
			s.injectFault(dependency.draw(s.testbed, dependencyFaults))
		}
		s.measure()
	}
	s.stream.runDuring(s.changeLeaver)
	s.measure()
	r := row{name: s.name, seed: seed, changes: s.stream.changes, kills: s.kills, hits: s.hits}
	s.kills = s.maxKills // faults do not overlap, so a state may be repeated once per kill of one fault
	s.verify(&r)
	r.violations = len(s.violations)
	fmt.Fprint(os.Stdout, "\n", table([]row{r}))
	s.report()
}

// shuffled draws cells in random order, each once before any comes again.
type shuffled []cell

func (d *shuffled) draw(tb *testbed, all []cell) cell {
	if len(*d) == 0 {
		*d = slices.Clone(all)
		tb.random.Shuffle(len(*d), func(i, j int) { (*d)[i], (*d)[j] = (*d)[j], (*d)[i] })
	}
	first := (*d)[0]
	*d = (*d)[1:]
	return first
}

// injectFault injects a fault and waits until everything has settled.
func (s *soak) injectFault(c cell) {
	s.t.Helper()
	changes, kills, violations := s.stream.changes, s.kills, len(s.violations)
	settledAfter := s.stream.runDuring(func() { c.inject(s.testbed) })
	s.maxKills = max(s.maxKills, s.kills-kills)
	logf("%-58s %8d %6d %11.1f s %11d", c.name, s.stream.changes-changes, s.kills-kills, settledAfter.Seconds(), len(s.violations)-violations)
	for _, v := range s.violations[violations:] {
		logf("  %s: %s", v.promise, v.what)
	}
}

// samples holds the measurements of a process.
type samples struct {
	pid    int
	times  []time.Time
	values map[string][]float64
}

func (l *samples) add(figures map[string]float64) {
	if l.values == nil {
		l.values = map[string][]float64{}
	}
	l.times = append(l.times, time.Now())
	for name, value := range figures {
		l.values[name] = append(l.values[name], value)
	}
}

// The figures of each replica and of Redis. Two get no verdict: resident memory, because Go
// returns memory to the system late, and connections of Redis, because replicas restart.
const (
	heapSize   = "live heap of a replica, MiB"
	goroutines = "goroutines of a replica"
	openFiles  = "connections and files of a replica"
	resident   = "resident memory of a replica, MiB"
	redisKeys  = "keys in Redis except histories"
	redisConns = "connections of Redis"
)

// measure takes a sample of each figure. Nothing may change meanwhile.
func (s *soak) measure() {
	s.t.Helper()
	for _, r := range s.replicas {
		pid := r.PID()
		i := slices.IndexFunc(s.processes, func(l *samples) bool { return l.pid == pid })
		if i < 0 {
			i = len(s.processes)
			s.processes = append(s.processes, &samples{pid: pid})
		}
		if status, body := r.get("/debug/pprof/heap?gc=1"); status != http.StatusOK { // the heap then holds live data only
			s.t.Errorf("GET /debug/pprof/heap = %d %.200s, want 200", status, body)
		}
		s.processes[i].add(map[string]float64{
			heapSize: r.metric("go_memstats_heap_alloc_bytes") / (1 << 20), resident: r.metric("process_resident_memory_bytes") / (1 << 20),
			goroutines: r.metric("go_goroutines"), openFiles: r.metric("process_open_fds"),
		})
	}
	keys, _ := s.redis.server.Do("DBSIZE").(int64)
	histories, _ := s.redis.server.Do("KEYS", "om:{om}:history:*").([]any)
	if most := s.users + 1; len(histories) > most {
		s.violate(history, "Redis holds %d histories, want at most %d", len(histories), most)
	}
	var clients float64
	if _, err := fmt.Sscanf(fmt.Sprint(s.redis.server.Do("INFO", "clients")), "# Clients\r\nconnected_clients:%g", &clients); err != nil {
		s.t.Errorf("INFO clients: %v", err)
	}
	s.redisSamples.add(map[string]float64{redisKeys: float64(keys) - float64(len(histories)), redisConns: clients})
}

// keepLogs copies the complete logs of the replicas to a directory that outlives the test.
func (s *soak) keepLogs() {
	dir, err := os.MkdirTemp("", "soak")
	for i, r := range s.replicas {
		if err == nil {
			err = exec.Command("cp", r.log.Path, fmt.Sprintf("%s/replica%d.log", dir, i)).Run()
		}
	}
	logf("the replicas' logs are in %s: %v", dir, err)
}

// report prints the growth of each figure and fails the test if one grows.
func (s *soak) report() {
	s.t.Helper()
	fmt.Fprintf(os.Stdout, "\n%-38s %8s %8s %14s %10s  %s\n", "figure", "samples", "mean", "growth an hour", "± (1σ)", "verdict")
	for _, name := range []string{heapSize, goroutines, openFiles, resident, redisKeys, redisConns} {
		g := fitGrowth(name, append(s.processes, &s.redisSamples))
		verdict := g.verdict()
		if name == resident || name == redisConns {
			verdict = ""
		}
		fmt.Fprintf(os.Stdout, "%-38s %8d %8.1f %14.2f %10.2f  %s\n", name, g.samples, g.mean, g.slope, g.stderr, verdict)
		if verdict == grows {
			s.t.Errorf("%s: grows by %.2f ± %.2f an hour, mean %.1f", name, g.slope, g.stderr, g.mean)
		}
	}
}
