package faults_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

// What befalls one mailbox, note or replica, and must not befall the others.

// gaps looks whether no mailbox but sick goes unread for longer than most while play
// goes on. One whose read is overdue in the end counts as soon as it comes.
func (w *world) gaps(sick graphsim.User, most time.Duration, play func()) {
	w.t.Helper()
	w.sim.ResetStats()
	play()
	w.without(sick, w.read)
	if longest := time.Duration(w.sim.Stats().ReadGaps.Max) * time.Millisecond; longest > most {
		w.violate(punctual, "a mailbox was not read for %v, at most %v is promised", longest, most)
	}
}

// slow has the reads of one mailbox hang, or take some time, while the others keep
// theirs: but for what was read together with it when that began.
func slow(f graphsim.Fault) func(*world) {
	return func(w *world) {
		sick := w.people[w.random.IntN(len(w.people))]
		f.Operation, f.User = "read", sick.ID
		w.gaps(sick, 3*interval, func() {
			w.fault(f)
			w.met(func() bool { return w.sim.Faults()[0].Hits > 0 })
			time.Sleep(2 * interval)
		})
		w.gaps(sick, interval+slack+time.Duration(f.Delay), func() { last(15*time.Second, 40*time.Second) })
		w.sim.ClearFaults()
	}
}

// without has something done while one user does not count.
func (w *world) without(u graphsim.User, do func()) {
	people := w.people
	w.people = slices.DeleteFunc(slices.Clone(people), func(p graphsim.User) bool { return p.ID == u.ID })
	do()
	w.people = people
}

// poison writes what makes no sense beside what does, and into a record, a wish and
// a hint of three users.
func (w *world) poison(record, wish, hint graphsim.User) {
	w.t.Helper()
	set := func(key, field, value string) { order(w.t, w.store.server, "HSET", "om:{om}:"+key, field, value) }
	records := func(id string) string { return fmt.Sprintf("records:%d", ooo.RecordID(id).Partition()) }
	set(records(record.ID), record.ID, `7:{"id":`)
	set("wants", ooo.FoldAddress(wish.UserPrincipalName), `n:{"address":`)
	w.started[wish.ID] = true // by the mediator, which is asked for its users
	set("hints", "read\t"+hint.ID+"\t", "?")
	set("hints", "nothing", "?")
	set("hints", "wish\t"+hint.ID+"\tnobody", "n:{}")
	set("wants", "nobody@contoso.example", "?")
	set("owners", "lease:none", "?")
	set("reads", "1", "?")
	for p := range ooo.Partitions {
		set(fmt.Sprintf("records:%d", p), "nobody", "?")
		set(fmt.Sprintf("rows:%d", p), "nobody@contoso.example", "?")
	}
}

var singleCells = []cell{
	{name: "one mailbox hangs", short: true, users: 300, allowed: unanswered, apply: slow(graphsim.Fault{Kind: "hang"})},
	{name: "one mailbox is 5 s slow", users: 300, allowed: unanswered, apply: slow(graphsim.Fault{Kind: "latency", Delay: graphsim.Duration(5 * time.Second)})},
	{name: "a record, a wish and a hint make no sense", short: true, allowed: unanswered, forgets: true, apply: func(w *world) {
		sick := w.people[0]
		w.poison(sick, w.people[1], w.people[2])
		w.crashAll() // what is in memory is not looked at
		w.without(sick, w.read)
		w.forgot = time.Now()
		w.flip(sick, 2) // is the remedy
	}},
	{name: "one replica can't log in", short: true, tokens: 5 * time.Second, apply: func(w *world) {
		login := newRelay(w.t, w.sim.URL()[len("https://"):])
		r := w.one()
		usual := r.env
		w.terminate(r)
		r.env = append(slices.Clone(usual), "AZURE_AUTHORITY_HOST=https://"+login.addr())
		r.start()
		w.met(func() bool { return r.ready() && r.owned() > 0 })
		time.Sleep(3 * time.Second)
		// Its token, then the time after which it gives up, then the take-over.
		w.gaps(graphsim.User{}, 5*time.Second+10*time.Second+3*interval, func() {
			login.end()
			time.Sleep(25 * time.Second)
			if n := r.owned(); n > 0 {
				w.violate(punctual, "a replica that can't log in owns %d partitions", n)
			}
		})
		w.terminate(r)
		r.env = usual
		r.start()
	}},
	{name: "Graph lists no subscriptions", apply: unlisted(graphsim.Fault{Kind: "omit"})},
	{name: "Graph lists half of its subscriptions", short: true, apply: unlisted(graphsim.Fault{Kind: "omit", Probability: 0.5})},
	{name: "Graph lists sixty empty pages first", apply: unlisted(graphsim.Fault{Kind: "empty", Times: 60})},
	{name: "Graph's list links to the same page again", apply: unlisted(graphsim.Fault{Kind: "repeat"})},
	{name: "the mediator takes 40 s to name its users", apply: func(w *world) {
		r, other := w.replicas[0], w.replicas[1]
		if w.random.IntN(2) == 0 {
			r, other = other, r
		}
		asked := w.mediator.Setups()
		w.mediator.SlowSetup(40 * time.Second)
		w.terminate(r)
		r.start()
		w.met(func() bool { return w.mediator.Setups() > asked })
		for began := time.Now(); time.Since(began) < 39*time.Second; time.Sleep(time.Second) {
			if response, err := client.Get("http://" + other.addr + "/"); err == nil { // it owns the mark too
				_ = response.Body.Close()
			}
		}
		if n := w.mediator.Setups(); n > asked+1 {
			w.violate(politely, "the mediator was asked for its users %d times while it was naming them", n-asked)
		}
		w.mediator.SlowSetup(0)
	}},
	{name: "rolling upgrade to another PUBLIC_URL", users: 300, allowed: unanswered, patient: 10 * time.Minute, apply: upgrade()},
	{name: "rolling upgrade to other resources too", users: 300, allowed: unanswered, patient: 10 * time.Minute,
		apply: upgrade("SUBSCRIPTION_RESOURCES=/users/{id}/messages")},
}

// upgrade gives one replica after the other another PUBLIC_URL, and other settings. No
// user may be without a subscription until all have one as it is wanted now.
func upgrade(env ...string) func(*world) {
	return func(w *world) {
		var addrs []string
		for _, r := range w.replicas {
			addrs = append(addrs, r.addr)
		}
		elsewhere := "http://" + newRelay(w.t, addrs...).addr()
		for _, r := range w.replicas {
			w.terminate(r)
			r.env = append(slices.Clone(r.env), append(env, "PUBLIC_URL="+elsewhere)...)
			r.start()
			w.await("after a restart", r.ready)
		}
		w.await("after the upgrade", func() bool {
			moved := map[string]bool{}
			for _, sub := range w.sim.Subscriptions() {
				follows := strings.HasPrefix(sub.NotificationURL, elsewhere) && (len(env) == 0 || strings.HasSuffix(sub.Resource, "/messages"))
				moved[sub.UserID] = moved[sub.UserID] || follows
			}
			if uncovered := len(w.people) - len(moved); uncovered > 0 {
				w.violate(covers, "%d users have no subscription during the upgrade", uncovered)
			}
			return !slices.ContainsFunc(w.people, func(u graphsim.User) bool { return !moved[u.ID] })
		})
	}
}

// unlisted has Graph's list lack some subscriptions for a while, or not end, while all
// of them live on.
func unlisted(f graphsim.Fault) func(*world) {
	return func(w *world) {
		time.Sleep(2 * time.Second) // the one who left has none any more
		had, written := w.sim.Subscriptions(), w.sim.Stats().Calls
		f.Operation = "subscription-list"
		w.fault(f)
		w.met(func() bool { return w.sim.Faults()[0].Hits > 0 })
		last(15*time.Second, 40*time.Second)
		w.sim.ClearFaults()
		for _, operation := range []string{"subscription-create", "subscription-delete"} {
			if before, now := written[operation], w.sim.Stats().Calls[operation]; fmt.Sprint(before) != fmt.Sprint(now) {
				w.violate(covers, "subscriptions that were not listed led to %s: %v, before %v", operation, now, before)
			}
		}
		for _, sub := range w.sim.Subscriptions() {
			if !slices.ContainsFunc(had, func(old graphsim.Subscription) bool { return old.ID == sub.ID }) {
				w.violate(covers, "subscription %s of user %s is new", sub.ID, sub.UserID)
			}
		}
	}
}

// owned is how many partitions a replica owns by its metrics.
func (r *replica) owned() int {
	response, err := client.Get("http://" + r.addr + "/metrics")
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0
	}
	return sum(response, "outlook_monitor_owned_partitions ")
}

// stop asks for a stop until it is acknowledged.
func (w *world) stop(u graphsim.User) {
	for deadline := time.Now().Add(w.patience); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if status, err := w.mediator.Monitor(context.Background(), u.UserPrincipalName, false); err == nil && status == http.StatusOK {
			return
		}
	}
	w.violate(covers, "the stop of user %s was never acknowledged", u.ID)
}
