package faults_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

// Faults of one mailbox, record or replica that must not affect the others.

// verifyGaps runs fault and checks that no mailbox but the faulty one goes unread for
// longer than most. It waits for reads that are overdue at the end.
func (tb *testbed) verifyGaps(faulty graphsim.User, most time.Duration, fault func()) {
	tb.t.Helper()
	tb.sim.ResetStats()
	fault()
	tb.excluding(faulty, tb.awaitReads)
	if longest := time.Duration(tb.sim.Stats().ReadGaps.Max) * time.Millisecond; longest > most {
		tb.violate(polling, "a mailbox was not read for %v, want at most %v", longest, most)
	}
}

// slowMailbox delays the reads of one mailbox. The others must keep their interval, apart
// from one batch that included the slow mailbox at the beginning.
func slowMailbox(f graphsim.Fault) func(*testbed) {
	return func(tb *testbed) {
		faulty := tb.monitored[tb.random.IntN(len(tb.monitored))]
		f.Operation, f.User = "read", faulty.ID
		tb.verifyGaps(faulty, 3*interval, func() {
			tb.sim.SetFault(f)
			tb.awaitTarget(func() bool { return tb.sim.Faults()[0].Hits > 0 })
			time.Sleep(2 * interval)
		})
		tb.verifyGaps(faulty, interval+slack+time.Duration(f.Delay), func() { hold(15*time.Second, 40*time.Second) })
		tb.sim.ClearFaults()
	}
}

// excluding runs do while a user counts as not monitored.
func (tb *testbed) excluding(u graphsim.User, do func()) {
	all := tb.monitored
	tb.monitored = slices.DeleteFunc(slices.Clone(all), func(other graphsim.User) bool { return other.ID == u.ID })
	do()
	tb.monitored = all
}

// corrupt writes invalid data into a record, a wish and a hint of three users, and adds
// invalid fields to the hashes in Redis.
func (tb *testbed) corrupt(record, wish, hint graphsim.User) {
	tb.t.Helper()
	set := func(key, field, value string) { tb.redis.server.Do("HSET", "om:{om}:"+key, field, value) }
	records := func(id string) string { return fmt.Sprintf("records:%d", ooo.RecordID(id).Partition()) }
	set(records(record.ID), record.ID, `7:{"id":`)
	set("wants", ooo.FoldAddress(wish.UserPrincipalName), `n:{"address":`)
	tb.restarted[wish.ID] = true // by the sync with the mediator
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

var isolationCells = []cell{
	{name: "one mailbox hangs", short: true, users: 300, duplicates: afterLostAnswer, inject: slowMailbox(graphsim.Fault{Kind: "hang"})},
	{name: "one mailbox is 5 s slow", users: 300, duplicates: afterLostAnswer, inject: slowMailbox(graphsim.Fault{Kind: "latency", Delay: graphsim.Duration(5 * time.Second)})},
	{name: "a record, a wish and a hint are corrupt", short: true, duplicates: afterLostAnswer, losesHistory: true, inject: func(tb *testbed) {
		faulty := tb.monitored[0]
		tb.corrupt(faulty, tb.monitored[1], tb.monitored[2])
		tb.crashAll() // owners read their mailboxes from Redis only when they load them
		tb.restartDead()
		tb.excluding(faulty, tb.awaitReads)
		tb.historyLostAt = time.Now()
		tb.toggleMonitoring(faulty, 2) // repairs the record
	}},
	{name: "one replica can't log in", short: true, tokenLifetime: 5 * time.Second, inject: func(tb *testbed) {
		login := newRelay(tb.t, tb.sim.URL()[len("https://"):])
		r := tb.anyReplica()
		env := r.env
		tb.terminate(r)
		r.env = append(slices.Clone(env), "AZURE_AUTHORITY_HOST=https://"+login.Addr())
		r.start()
		tb.awaitTarget(func() bool { return r.ready() && r.metric(ownedPartitions) > 0 })
		time.Sleep(3 * time.Second)
		// The life of its token, the time until it counts as unable, and the takeover.
		tb.verifyGaps(graphsim.User{}, 5*time.Second+10*time.Second+3*interval, func() {
			login.Close()
			time.Sleep(25 * time.Second)
			if n := r.metric(ownedPartitions); n > 0 {
				tb.violate(polling, "a replica that can't log in owns %v partitions", n)
			}
		})
		tb.terminate(r)
		r.env = env
		r.start()
	}},
	{name: "Graph lists no subscriptions", inject: incompleteList(graphsim.Fault{Kind: "omit"})},
	{name: "Graph lists half of its subscriptions", short: true, inject: incompleteList(graphsim.Fault{Kind: "omit", Probability: new(0.5)})},
	{name: "Graph lists sixty empty pages first", inject: incompleteList(graphsim.Fault{Kind: "empty", Times: 60})},
	{name: "Graph's subscription list repeats a page", inject: incompleteList(graphsim.Fault{Kind: "repeat"})},
	{name: "the mediator takes 40 s to list its users", inject: func(tb *testbed) {
		r, other := tb.replicas[0], tb.replicas[1]
		if tb.random.IntN(2) == 0 {
			r, other = other, r
		}
		asked := tb.mediator.Setups()
		tb.mediator.DelaySetup(40 * time.Second)
		tb.terminate(r)
		r.start()
		tb.awaitTarget(func() bool { return tb.mediator.Setups() > asked })
		for began := time.Now(); time.Since(began) < 39*time.Second; time.Sleep(time.Second) {
			other.get("/") // requests a sync, too
		}
		if n := tb.mediator.Setups(); n > asked+1 {
			tb.violate(load, "the mediator was asked for its users %d times at once", n-asked)
		}
		tb.mediator.DelaySetup(0)
	}},
	{name: "rolling upgrade to another PUBLIC_URL", users: 300, duplicates: afterLostAnswer, settleTimeout: 10 * time.Minute, inject: rollingUpgrade()},
	{name: "rolling upgrade to another PUBLIC_URL and other resources", users: 300, duplicates: afterLostAnswer, settleTimeout: 10 * time.Minute,
		inject: rollingUpgrade("SUBSCRIPTION_RESOURCES=/users/{id}/messages")},
}

// rollingUpgrade restarts the replicas one by one with another PUBLIC_URL and other
// settings. No user may be without a subscription while the subscriptions are replaced.
func rollingUpgrade(env ...string) func(*testbed) {
	return func(tb *testbed) {
		newURL := "http://" + newRelay(tb.t, tb.proxy.Targets...).Addr()
		for _, r := range tb.replicas {
			tb.terminate(r)
			r.env = append(slices.Clone(r.env), append(env, "PUBLIC_URL="+newURL)...)
			r.start()
			tb.await("after a restart", r.ready)
		}
		tb.await("after the upgrade", func() bool {
			replaced := map[string]bool{}
			for _, sub := range tb.sim.Subscriptions() {
				isNew := strings.HasPrefix(sub.NotificationURL, newURL) && (len(env) == 0 || strings.HasSuffix(sub.Resource, "/messages"))
				replaced[sub.UserID] = replaced[sub.UserID] || isNew
			}
			if missing := len(tb.monitored) - len(replaced); missing > 0 {
				tb.violate(coverage, "%d users have no subscription during the upgrade", missing)
			}
			return !slices.ContainsFunc(tb.monitored, func(u graphsim.User) bool { return !replaced[u.ID] })
		})
	}
}

// incompleteList makes Graph's list of subscriptions incomplete or endless for a while,
// although all subscriptions still exist.
func incompleteList(f graphsim.Fault) func(*testbed) {
	return func(tb *testbed) {
		time.Sleep(2 * time.Second) // until the leaver's subscription is deleted
		had, calls := tb.sim.Subscriptions(), tb.sim.Stats().Calls
		f.Operation = "subscription-list"
		tb.sim.SetFault(f)
		tb.awaitTarget(func() bool { return tb.sim.Faults()[0].Hits > 0 })
		hold(15*time.Second, 40*time.Second)
		tb.sim.ClearFaults()
		for _, operation := range []string{"subscription-create", "subscription-delete"} {
			if before, now := calls[operation], tb.sim.Stats().Calls[operation]; fmt.Sprint(before) != fmt.Sprint(now) {
				tb.violate(coverage, "subscriptions missing from the list caused %s calls: %v, before %v", operation, now, before)
			}
		}
		for _, sub := range tb.sim.Subscriptions() {
			if !slices.ContainsFunc(had, func(old graphsim.Subscription) bool { return old.ID == sub.ID }) {
				tb.violate(coverage, "subscription %s of user %s is new", sub.ID, sub.UserID)
			}
		}
	}
}
