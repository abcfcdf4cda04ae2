package faults_test

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// What a soak draws its faults from. Left out is what needs another Redis, tokens of
// another life, or a patience of its own. Replacing ends processes of the program.
var (
	steady    = inOneWorld(redisCells, graphCells, coverCells, mediatorCells)
	replacing = inOneWorld(processCells, singleCells)
)

func inOneWorld(kinds ...[]cell) []cell {
	return slices.DeleteFunc(slices.Concat(kinds...), func(c cell) bool { return c.store != nil || c.tokens > 0 || c.patient > 0 })
}

// soak is a world of three replicas that meets one fault after the other.
type soak struct {
	*world
	changes   *stream
	lives     []*life // of the replicas, in the order in which they began
	redis     life
	mostKills int // of one fault
}

// BenchmarkSoak is scripts/soak. SOAK says how long it takes faults from the decks,
// without what it takes until all users are covered. Processes are replaced at most
// every 15 minutes, so that a leak has time to show.
func BenchmarkSoak(b *testing.B) {
	length, err := time.ParseDuration(cmp.Or(os.Getenv("SOAK"), "30m"))
	if err != nil {
		b.Fatalf("SOAK: %v, write it as 30m or 8h", err)
	}
	for _, c := range replacing {
		if c.needs != nil {
			if _, err := c.needs(); err != nil {
				b.Fatal(err)
			}
		}
	}
	for b.Loop() {
		w := build(b, plan{
			seed: seed, name: "soak", users: number("SOAK_USERS", 5000), crew: 3, tokens: 5 * time.Minute, patience: 15 * time.Minute,
		})
		s := &soak{world: w, changes: newStream(w, "soak")}
		s.run(length)
		for _, v := range w.violations {
			b.Errorf("%s: %s", v.promise, v.what)
		}
		if b.Failed() {
			s.keepLogs()
		}
	}
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stdout, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

func (s *soak) run(length time.Duration) {
	s.t.Helper()
	say("%d users, %d replicas, %v of faults, seed %d; Graph takes %v to cover all users", s.users, s.crew, length, seed, time.Duration(s.users/500*20)*time.Second)
	if !s.await("at the start", s.settled) {
		return
	}
	s.leave()
	for _, u := range s.changes.people { // until all have been away once, what is kept of them grows
		s.changes.number[u.ID]++
		s.set(u, "alwaysEnabled", s.changes.number[u.ID], false)
	}
	s.quiet()
	say("%-56s %8s %6s %12s %11s", "fault", "changes", "kills", "quiet after", "violations")
	var steadyDeck, replacingDeck deck
	every := min(length/4, 15*time.Minute)
	replaced, end := time.Now(), time.Now().Add(length)
	for time.Now().Before(end) {
		if time.Since(replaced) > every {
			s.meet(replacingDeck.draw(s.world, replacing))
			replaced = time.Now()
		} else {
			s.meet(steadyDeck.draw(s.world, steady))
		}
		s.measure()
	}
	s.changes.during(s.beyond)
	s.measure()
	r := row{name: "soak", seed: seed, runs: 1, made: s.changes.made, kills: s.kills, hits: s.hits}
	s.kills = s.mostKills // how often a state may be repeated follows from one fault alone
	s.judge(cell{allowed: unanswered, forgets: true}, &r)
	r.violations = len(s.violations)
	fmt.Fprint(os.Stdout, "\n", table([]row{r}))
	s.report()
}

// deck is the faults that are still to come before all begin again.
type deck []cell

func (d *deck) draw(w *world, all []cell) cell {
	if len(*d) == 0 {
		*d = slices.Clone(all)
		w.random.Shuffle(len(*d), func(i, j int) { (*d)[i], (*d)[j] = (*d)[j], (*d)[i] })
	}
	first := (*d)[0]
	*d = (*d)[1:]
	return first
}

// meet has one fault come and waits until all is quiet.
func (s *soak) meet(c cell) {
	s.t.Helper()
	made, kills, violations := s.changes.made, s.kills, len(s.violations)
	quiet := s.changes.during(func() { c.apply(s.world) })
	s.mostKills = max(s.mostKills, s.kills-kills)
	say("%-56s %8d %6d %10.1f s %11d", c.name, s.changes.made-made, s.kills-kills, quiet.Seconds(), len(s.violations)-violations)
	for _, v := range s.violations[violations:] {
		say("  %s: %s", v.promise, v.what)
	}
}

// life is what was measured of a process.
type life struct {
	pid     int
	at      []time.Time
	figures map[string][]float64
}

func (l *life) add(figures map[string]float64) {
	if l.figures == nil {
		l.figures = map[string][]float64{}
	}
	l.at = append(l.at, time.Now())
	for name, value := range figures {
		l.figures[name] = append(l.figures[name], value)
	}
}

// What is measured of each replica and of Redis. Two have no verdict: Go gives memory
// back late, and the connections that Redis sees are those of replicas that come and go.
const (
	heapSize   = "live heap of a replica, MiB"
	goroutines = "goroutines of a replica"
	openFiles  = "connections and files of a replica"
	resident   = "resident memory of a replica, MiB"
	redisKeys  = "keys in Redis but histories"
	redisConns = "connections of Redis"
)

// measure is called while nothing changes.
func (s *soak) measure() {
	s.t.Helper()
	for _, r := range s.replicas {
		pid := r.PID()
		i := slices.IndexFunc(s.lives, func(l *life) bool { return l.pid == pid })
		if i < 0 {
			i = len(s.lives)
			s.lives = append(s.lives, &life{pid: pid})
		}
		r.collectGarbage()
		s.lives[i].add(map[string]float64{
			heapSize: r.metric("go_memstats_heap_alloc_bytes ") / (1 << 20), resident: r.metric("process_resident_memory_bytes ") / (1 << 20),
			goroutines: r.metric("go_goroutines "), openFiles: r.metric("process_open_fds "),
		})
	}
	keys, _ := order(s.t, s.store.server, "DBSIZE").(int64)
	histories, _ := order(s.t, s.store.server, "KEYS", "om:{om}:history:*").([]any)
	if most := s.users + 1; len(histories) > most {
		s.violate(remembers, "there are %d histories in Redis, at most %d are right", len(histories), most)
	}
	var clients float64
	if _, err := fmt.Sscanf(fmt.Sprint(order(s.t, s.store.server, "INFO", "clients")), "# Clients\r\nconnected_clients:%g", &clients); err != nil {
		s.t.Errorf("INFO clients: %v", err)
	}
	s.redis.add(map[string]float64{redisKeys: float64(keys) - float64(len(histories)), redisConns: clients})
}

// keepLogs copies the replicas' whole logs to where they outlive the test.
func (s *soak) keepLogs() {
	dir, err := os.MkdirTemp("", "soak")
	for i, r := range s.replicas {
		if err == nil {
			err = exec.Command("cp", r.file, fmt.Sprintf("%s/replica%d.log", dir, i)).Run()
		}
	}
	say("the replicas' logs are in %s: %v", dir, err)
}

// collectGarbage leaves only what is in use in the replica's heap.
func (r *replica) collectGarbage() {
	response, err := client.Get("http://" + r.addr + "/debug/pprof/heap?gc=1")
	if err != nil {
		r.t.Error(err)
		return
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
}

// metric is the sum of a metric; 0 if the replica does not answer.
func (r *replica) metric(name string) float64 {
	response, err := client.Get("http://" + r.addr + "/metrics")
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	return float64(sum(response, name))
}

// report shows how each figure grew, and fails if one did.
func (s *soak) report() {
	s.t.Helper()
	fmt.Fprintf(os.Stdout, "\n%-38s %8s %8s %14s %10s  %s\n", "figure", "samples", "mean", "growth an hour", "± (1σ)", "verdict")
	for _, name := range []string{heapSize, goroutines, openFiles, resident, redisKeys, redisConns} {
		g := growthOf(name, append(s.lives, &s.redis))
		verdict := g.verdict()
		if name == resident || name == redisConns {
			verdict = ""
		}
		fmt.Fprintf(os.Stdout, "%-38s %8d %8.1f %14.2f %10.2f  %s\n", name, g.samples, g.mean, g.slope, g.deviation, verdict)
		if verdict == grows {
			s.t.Errorf("%s: grows by %.2f ± %.2f an hour, mean %.1f", name, g.slope, g.deviation, g.mean)
		}
	}
}
