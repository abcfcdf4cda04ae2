// Package faults holds no code, only the fault matrix: tests that inject faults into
// the built program and its dependencies during a stream of changes, and then check
// that the mediator has the right states.
//
// Each cell of the matrix has its own testbed: two replicas of the program behind one
// address, a redis-server (or several), a local Graph and a mediator. The automatic
// replies of its users change at random. At a random time monitoring of one user stops
// and the cell's fault begins; some time later the fault ends. Some faults wait for a
// target: a relay in front of Redis stops the first request that saves a new state or a
// delivery result, and all processes are killed then. Once everything has settled, these
// promises must hold:
//
//   - the last state that the mediator acknowledged for a user matches the mailbox;
//   - the mediator never received an older state after a newer one;
//   - each user has exactly one live subscription, the recorded one, no other
//     subscription exists, and the mediator receives no state of a user who is no
//     longer monitored;
//   - the history says of each state whether it was delivered or overtaken;
//   - nothing was delivered twice, unless a process was killed or an answer was lost;
//   - Graph receives no calls during a wait that it asked for.
//
// TestReplicas lets three replicas share the work, restarts them one by one and kills
// one of them. Graph counts how often mailboxes are read and the longest time between two
// reads. TestRecovery measures the rate of calls when Graph or the mediator returns after
// an outage.
//
// BenchmarkSoak, which scripts/soak runs, keeps one testbed for minutes or hours: three
// replicas, thousands of users, and the faults of the matrix in random order, each after
// the previous one has settled. At the end the same promises must hold, and the resource
// usage of the replicas must not have grown.
//
// TestBroken tests the suite itself. Each mutant breaks one promise, built by go build
// with an overlay of edited files, and the suite must report that promise as violated.
// The clock of a replica is shifted the same way, with an edited package time.
//
// go test runs the short form, with the cells most likely to fail; see scripts/faults
// for the others. Each cell prints a row. FAULTS_SEED varies the changes and times.
package faults
