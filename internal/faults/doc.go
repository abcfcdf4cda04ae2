// Package faults holds no code, only the fault matrix: a suite that breaks what
// the built program stands on, or the program itself, in the middle of a stream
// of changes, and then checks that the mediator has the right states.
//
// Each cell is a world of its own: two replicas of the program behind one address, a
// redis-server (or several), a local Graph and a mediator. Its users' automatic replies
// change at random; at a random moment one user leaves and the cell's fault comes, and
// some time later it goes. Some faults wait for their moment: a relay before Redis stops
// the first request which shows that a state is being recorded, or was delivered, and all
// processes are killed then. Once all is quiet again, this must hold:
//
//   - the last state that the mediator acknowledged for a user is the mailbox's;
//   - the mediator never received an older state after a newer one;
//   - each user has one living subscription, the one that is recorded, and none is
//     left over, nor does the mediator receive states of a user who was removed;
//   - the history says of each state whether it was delivered or overtaken;
//   - nothing was delivered twice, unless a process was killed or an answer lost;
//   - while Graph asks to wait, it is left alone.
//
// TestReplicas has three replicas share the work, be restarted in turn and lose
// one; how often mailboxes were read, and the longest that one was not, Graph
// counts. TestReturn shows the rate of calls once Graph, or the mediator, is back
// after an outage.
//
// BenchmarkSoak, which scripts/soak runs, is one world for minutes or hours: three
// replicas, thousands of users, and the faults of the matrix one after the other, in
// random order, each once all is quiet after the one before. In the end the same must
// hold, and what the replicas use may not have grown.
//
// TestBroken proves the suite itself: each promise is broken in a build of its own, in
// which go build takes an edited copy of a file for the true one, and the suite must say
// that this very promise is not kept. The clock of a replica is shifted in the same way:
// its build has another package time.
//
// go test runs the short form, the cells most likely to break; scripts/faults
// says what else there is. A row is printed for each cell. FAULTS_SEED chooses
// other changes and moments.
package faults
